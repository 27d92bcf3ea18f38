from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.lab import Lab
from tests.netns.nft_lab import enter_of

from ductwork.errors import Denied, FailedPrecondition, Unavailable
from ductwork.kernel.tools import run_tool


def test_a_tool_runs_inside_the_namespace(lab: Lab) -> None:
    space = lab.namespace("tool")
    space.ip_batch("link add here type veth peer name there")
    code, output = run_tool(["ip", "-br", "link", "show"], enter=enter_of(space))
    assert code == 0
    assert "here" in output
    assert "here" not in run_tool(["ip", "-br", "link", "show"])[1]


def test_both_streams_the_exit_code_and_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    script = 'cat; echo out; echo err >&2; echo "$LC_ALL"; exit 3'
    assert run_tool(["sh", "-c", script], stdin="in\n") == (3, "in\nout\nerr\nC\n")


def test_a_tool_that_ignores_its_input_is_no_error() -> None:
    assert run_tool(["true"], stdin="x" * 1_000_000) == (0, "")


def test_output_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    assert run_tool(["printf", r"a\377b"]) == (0, "a\ufffdb")


def test_the_system_folders_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run_tool(["ip", "-V"])[0] == 0


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("birdc-none", "birdc-none: it is not installed; install the package birdc-none"),
        ("/nonexistent/ip6tables-legacy-save", "ip6tables-legacy-save: .* install the package iptables"),
        ("/nonexistent/ovs-vsctl", "ovs-vsctl: .* install the package openvswitch-switch"),
    ],
)
def test_a_missing_tool_names_its_package(tool: str, words: str) -> None:
    with pytest.raises(FailedPrecondition, match=words):
        run_tool([tool, "--version"])


def test_a_tool_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o600)
    with pytest.raises(Denied):
        run_tool([str(tmp_path / "tool")])


def test_a_tool_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"echo working; sleep 60 & echo $! > {note}; wait"
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"did not end within 0.5 s; it said: working; try again"):
        run_tool(["sh", "-c", script], timeout_s=0.5)
    assert time.monotonic() - began < 5
    end = time.monotonic() + 5
    while _runs(int(note.read_text())):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_child_that_left_the_session_does_not_hold_us() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        run_tool(["setsid", "--fork", "sleep", "4"], timeout_s=0.3)
    assert time.monotonic() - began < 3


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
