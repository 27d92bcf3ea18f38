"""Every topology in the documentation and among the examples works, and the committed schema is current."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from ductwork.engine.engine import Engine
from ductwork.frontends.topology_file import json_schema, parse_topology, read_topology
from ductwork.frontends.yaml_text import load_yaml
from ductwork.kernel.fake import FakeKernel
from ductwork.model.network import NetworkSpec

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "docs" / "ductwork.schema.json"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "topology.md").read_text(), re.S | re.M)
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_there_is_something_to_test() -> None:
    assert len(BLOCKS) == 2 and EXAMPLES


@pytest.mark.parametrize("text", BLOCKS)
def test_the_page_comes_up_twice_and_goes_down(engine: Engine, text: str) -> None:
    assert isinstance(engine.kernel, FakeKernel)
    engine.kernel.host.add_link("eth0", up=True)
    engine.kernel.create_namespace("/run/netns/guest")
    topology = parse_topology(text)
    for name in topology.external:
        engine.create_network(NetworkSpec(name))
    before = engine.kernel.snapshot()
    assert engine.up(topology).actions
    assert engine.up(topology).actions == ()
    assert engine.report.steps == []
    assert engine.diff(topology).actions == ()
    engine.down(topology.name)
    assert engine.kernel.snapshot() == before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_come_up_and_go_down(engine: Engine, path: Path) -> None:
    assert isinstance(engine.kernel, FakeKernel)
    before = engine.kernel.snapshot()
    topology = read_topology(path)
    assert topology.name == path.stem
    engine.up(topology)
    assert engine.diff(topology).actions == ()
    engine.down(topology.name)
    assert engine.kernel.snapshot() == before


def test_the_committed_schema_is_current() -> None:
    text = json.dumps(json_schema(), indent=2) + "\n"
    if os.environ.get("DUCTWORK_GOLDEN") == "write":
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text, "refresh it with DUCTWORK_GOLDEN=write"


@pytest.mark.parametrize("text", [*BLOCKS, *(path.read_text() for path in EXAMPLES)])
def test_the_schema_accepts_what_works(text: str) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(load_yaml(text, "x"))


@pytest.mark.parametrize(
    "text",
    ["version: 2", "networks: {a: {mtu: big}}", "sandboxes: {a: {port: []}}", "networks: [a]", "naem: x"],
)
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(load_yaml(text, "x"))
