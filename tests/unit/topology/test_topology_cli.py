"""The commands `up`, `diff`, `down`, on a kernel in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from ductwork.engine.engine import Engine
from ductwork.frontends.cli import common, duct
from ductwork.frontends.cli import progress as progress_module
from ductwork.frontends.cli.progress import Progress
from ductwork.kernel.fake import FakeKernel

TEXT = "name: lab\nnetworks: {front: }\nsandboxes: {web: {networks: [front], ports: ['8080:80']}}\n"


@pytest.fixture
def file(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    class Opened:
        def __enter__(self) -> Engine:
            engine.plan_only = False
            return engine

        def __exit__(self, *error: object) -> None:
            engine.report.notes.clear()

    monkeypatch.setattr(common, "open_engine", lambda _: Opened())
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ductwork.yaml"
    path.write_text(TEXT)
    return path


def run(*argv: str) -> int:
    return common.run(duct, list(argv))


def test_up_diff_down(file: Path, capsys: pytest.CaptureFixture[str], engine: Engine) -> None:
    assert isinstance(engine.kernel, FakeKernel)
    before = engine.kernel.snapshot()
    assert run("diff") == 1
    said = capsys.readouterr().out
    assert "+ network front: bridge\n" in said
    assert run("up") == 0
    assert capsys.readouterr().out == said
    assert run("up") == 0
    assert capsys.readouterr().out == "lab is up already\n"
    assert run("diff") == 0
    assert capsys.readouterr() == ("", "")
    file.write_text("networks: [broken\n")
    assert run("diff") == 2
    assert capsys.readouterr().err.startswith("duct: ductwork.yaml:2: ")
    assert run("down", "--name", "lab") == 0
    assert "- network front" in capsys.readouterr().out
    assert engine.kernel.snapshot() == before
    file.write_text(TEXT)
    assert run("down") == 0
    assert capsys.readouterr().out == "lab is down already\n"


def test_json_and_plan(file: Path, capsys: pytest.CaptureFixture[str], engine: Engine) -> None:
    assert run("diff", "--json") == 1
    value = json.loads(capsys.readouterr().out)
    assert value["topology"] == "lab" and value["notes"] == []
    assert value["actions"][0] == {
        "sign": "+",
        "kind": "network",
        "name": "front",
        "details": ["bridge"],
        "place": "networks.front",
    }
    assert run("--plan", "up") == 0
    assert "+ netns " in capsys.readouterr().out
    assert engine.networks() == []
    assert run("diff", "--schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ductwork.yaml"


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("up", str(tmp_path)) == 3
    assert "there is no ductwork.yaml in" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_only_when_it_takes_long(
    file: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long, nobody = Terminal(), Terminal(), io.StringIO()
    with Progress.of(engine, short):
        run("up")
    monkeypatch.setattr(progress_module, "QUIET_S", 0.0)
    with Progress.of(engine, long):
        run("down")
    with Progress.of(engine, nobody):
        run("up")
    assert short.getvalue() == nobody.getvalue() == ""
    assert "kernel steps, 0 s …" in long.getvalue() and long.getvalue().endswith("\r\x1b[K")
    assert engine.executor.before_group is None
