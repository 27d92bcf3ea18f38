"""Row C2: the host network: no stack of one's own, and Ductwork says so wherever it shows one.

h1 192.0.2.1, where app runs in h1's own namespace ── underlay ── outside
"""

import json
import sys
from pathlib import Path

import pytest
from tests.e2e.scene import Scene, refused
from tests.lab import LabHost, fetch, peers, wait_listening
from tests.lab.host import DUCT

WORD = "unisolated"
PEER = Path(peers.__file__).with_name("peer.py")


def test_c2_what_runs_in_it_is_on_the_host(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("sandbox", "create", "app", "--mode", "host")
        inside = host.duct("sandbox", "exec", "app", "--", "ip", "-j", "addr", "show").stdout
        assert json.loads(inside) == host.ip("addr", "show")
        space = host.duct("sandbox", "exec", "app", "--", "readlink", "/proc/self/ns/net").stdout
        assert space == host.run("readlink", "/proc/self/ns/net").stdout
        # A server in it is on the host's own address, and nothing had to be made for that.
        server = (sys.executable, "-ISE", str(PEER), "http", "0.0.0.0", "8000", "app")
        host.popen_outside([str(DUCT), "sandbox", "exec", "app", "--", *server], env=host.duct_env)
        wait_listening(host, 8000)
        seen = fetch(outside, f"http://{host.address}:8000/")
        assert seen is not None
        assert (seen["text"], seen["client"]) == ("app", str(outside.address))
        assert scene.changes() == ""


def test_c2_it_is_called_unisolated_wherever_it_is_shown(host: LabHost) -> None:
    with Scene(host):
        words = {
            "network create": host.duct("network", "create", "bare", "--driver", "host").stdout,
            "sandbox create": host.duct("sandbox", "create", "app", "--mode", "host").stdout,
            "sandbox create --json": _json(host, "sandbox", "create", "other", "--mode", "host"),
            "connect": host.duct("connect", "bare", "app").stdout,
            "inspect": host.duct("inspect", "app").stdout,
            "inspect --json": _json(host, "inspect", "app"),
            "network inspect": host.duct("network", "inspect", "bare").stdout,
            "network inspect --json": _json(host, "network", "inspect", "bare"),
            "network ls --json": _json(host, "network", "ls"),
            **{
                f"graph --format {form}": host.duct("graph", "--format", form).stdout
                for form in ("text", "svg", "mermaid", "json")
            },
        }
        assert [where for where, text in words.items() if WORD not in text] == []
        (row,) = [line for line in host.duct("sandbox", "ls").stdout.splitlines() if line.startswith("app ")]
        assert WORD in row
        (row,) = [line for line in host.duct("network", "ls").stdout.splitlines() if line.startswith("bare ")]
        assert WORD in row


def test_c2_what_is_isolated_is_not_called_so(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        scene.sandbox("box", "net")
        shown = [
            host.duct(*words).stdout
            for words in (("sandbox", "ls"), ("network", "ls"), ("graph",), ("inspect", "box"))
        ]
        assert WORD not in "".join(shown)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("connect", "net", "app"), WORD),
        (("connect", "bare", "box"), WORD),
        (("network", "create", "x", "--driver", "host", "--subnet", "10.7.0.0/24"), "host"),
        (("network", "create", "x", "--driver", "host", "--internal"), "not isolated"),
        (("publish", "app", "8080:80"), "app"),
    ],
)
def test_c2_what_makes_no_sense_is_refused_in_words(
    host: LabHost, words: tuple[str, ...], reason: str
) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        host.duct("network", "create", "bare", "--driver", "host")
        host.duct("sandbox", "create", "app", "--mode", "host")
        scene.sandbox("box", "net")
        before = host.snapshot()
        assert reason in refused(host, *words).stderr
        assert host.snapshot() == before


def _json(host: LabHost, *words: str) -> str:
    return json.dumps(host.duct_json(*words))
