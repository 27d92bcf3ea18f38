"""Killed at any step: the next command finishes or takes back what was begun, and nothing is left over.

h1 ── net dw-… ─┬─ web  (publishes 8088:8000)
                └─ app
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.e2e.scene import Scene
from tests.lab import LabHost, diff_snapshots
from tests.lab.commands import clean_environment

# The child: one use case of the library, cut off by itself before its N-th group of one step each.
_CHILD = """
import os, signal, sys
from ductwork import ConnectSpec, NetworkSpec, SandboxSpec, host_from_environment, open_engine, parse_ports

what, fatal = sys.argv[1], int(sys.argv[2])
done = 0

def before_group(steps):
    global done
    if done == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1

with open_engine(host_from_environment()) as engine:
    engine.executor.before_group = before_group
    engine.executor.group_limit = 1
    ports = tuple(parse_ports("7000-7001:7000-7001"))
    {
        "network create": lambda: engine.create_network(NetworkSpec("new", ipv6=True)),
        "sandbox create": lambda: engine.create_sandbox(SandboxSpec("new", networks=("net",))),
        "connect": lambda: engine.connect("net", "app", ConnectSpec(ports=ports)),
        "publish": lambda: engine.publish("web", ports),
        "unpublish": lambda: engine.unpublish("web"),
        "disconnect": lambda: engine.disconnect("net", "web"),
        "sandbox rm": lambda: engine.remove_sandboxes(["web"]),
        "network rm": lambda: engine.remove_networks(["spare"]),
    }[what]()
print(done)
"""

MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Cut:
    """One kind of change: is it carried through after a kill, or taken back?"""

    what: str
    finished: bool


CUTS = (
    Cut("network create", finished=False),
    Cut("sandbox create", finished=False),
    Cut("connect", finished=False),
    Cut("publish", finished=False),
    Cut("unpublish", finished=True),
    Cut("disconnect", finished=True),
    Cut("sandbox rm", finished=True),
    Cut("network rm", finished=True),
)


def _build(host: LabHost) -> None:
    for name in ("net", "spare"):
        host.duct("network", "create", name)
    host.duct("sandbox", "create", "app")
    host.duct("sandbox", "create", "web")
    host.duct("connect", "net", "web", "-p", "8088:8000", "-p", "8088:8000/udp")


def _cut(host: LabHost, what: str, fatal: int) -> bool:
    """Run the child; say whether it killed itself, and not whether it failed in another way."""
    words = (sys.executable, "-c", _CHILD, what, str(fatal))
    env = clean_environment(host.duct_env)
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def _recovered(host: LabHost, said: str = "") -> None:
    """Run any command that changes something, in a process of its own, and look at what it left."""
    assert said in host.duct("sandbox", "create", "other").stderr
    host.duct("sandbox", "rm", "other")
    status = host.duct_json("status")
    assert (status["missing"], status["leftovers"]) == (0, [])


def _settled(scene: Scene) -> dict[str, str]:
    """Take down the host without carriers, which follow a little later by themselves."""
    snapshot = scene.host.snapshot()
    carried = {"links", "addresses", "routes4", "routes6"}
    return {name: text for name, text in snapshot.items() if name not in carried}


def _names(host: LabHost) -> tuple[list[str], list[str]]:
    return host.link_names(), sorted(path.name for path in (host.state_dir / "netns").iterdir())


def _until_complete(cut: Callable[[int], bool]) -> Iterator[int]:
    """Give every N at which the change can be cut off."""
    for number in range(MOST_STEPS):
        if not cut(number):
            return
        yield number
    pytest.fail(f"still not complete after {MOST_STEPS} steps")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.what)
def test_killed_before_any_step(host: LabHost, cut: Cut) -> None:
    with Scene(host) as scene:
        _build(host)
        before, names = _settled(scene), _names(host)
        cuts = 0
        for number in _until_complete(lambda n: _cut(host, cut.what, n)):
            cuts += 1
            _recovered(host, "finished what was cut off" if cut.finished else "took back what was cut off")
            if cut.finished:
                scene.remove_all()
                assert scene.changes() == "", f"cut before step {number}"
                _build(host)
            else:
                assert _names(host) == names, f"cut before step {number}"
                assert diff_snapshots(before, _settled(scene)) == "", f"cut before step {number}"
        assert cuts > 0, "it was cut off at least once"
        _recovered(host)
        assert _names(host) != names or "publish" in cut.what, "then it went through"
