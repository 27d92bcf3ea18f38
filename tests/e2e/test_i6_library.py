"""Row I6: the typed library. The example runs on a throwaway host, and mypy has nothing against it.

h1 ── example-front ── example-web, example-app
   └─ example-back  ── example-web, example-db
"""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.e2e.scene import Scene
from tests.lab import LabHost, fetch, http_server
from tests.lab.commands import run

from ductwork import (
    ConnectSpec,
    DuctworkError,
    Engine,
    NetworkSpec,
    NotFound,
    SandboxSpec,
    Subnet,
    host_from_environment,
    open_engine,
    parse_ports,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "library.py"


def _engine(host: LabHost) -> Engine:
    return open_engine(host_from_environment(str(host.path), str(host.state_dir)))


def test_i6_the_example_runs_and_leaves_nothing(host: LabHost) -> None:
    with Scene(host):
        done = run([sys.executable, str(EXAMPLE)], env=host.duct_env)
        assert "example-db has 10.123.45.10/24" in done.stdout
        assert "published 18080:80/tcp" in done.stdout
        assert "as expected: port 18080/tcp is already published by example-web" in done.stdout
        assert ", 0 missing".replace(",", " kernel objects,") in done.stdout
        assert done.stderr == ""


def test_i6_the_example_is_typed() -> None:
    words = (sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(EXAMPLE))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout


def test_i6_library_and_command_see_the_same_host(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        with _engine(host) as engine:
            cidr = ip_network("10.9.0.0/24")
            engine.create_network(NetworkSpec("net", subnets=(Subnet(cidr),)))
            engine.create_sandbox(SandboxSpec("web"))
            engine.connect("net", "web", ConnectSpec(ports=tuple(parse_ports("8088:8000"))))
        http_server(scene.inside("web"), 8000, "web")
        assert fetch(outside, f"http://{host.address}:8088/")
        (listed,) = host.duct_json("network", "ls")
        assert (listed["name"], listed["subnets"][0]["cidr"]) == ("net", str(cidr))
        host.duct("unpublish", "web", "8088")
        with _engine(host) as engine:
            assert engine.unpublish("web") == ()
            assert [s.name for s in engine.sandboxes()] == ["web"]


def test_i6_an_engine_that_stays_open_sees_what_commands_do(host: LabHost) -> None:
    with Scene(host), _engine(host) as engine:
        host.duct("network", "create", "net")
        engine.create_sandbox(SandboxSpec("app", networks=("net",)))
        host.duct("sandbox", "rm", "app")
        with pytest.raises(NotFound) as caught:
            engine.connect("net", "app")
        assert isinstance(caught.value, DuctworkError)
        assert caught.value.hint
        assert json.loads(host.duct("network", "ls", "--json").stdout)[0]["name"] == "net"
