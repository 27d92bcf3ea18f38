"""Row I5: a topology file makes a host so; an edit changes only what differs; down leaves nothing.

outside ── underlay ── h1 :8080 ── front ── web ── back (internal) ── db
                                      └──── app ── steady ── far      nobody edits these
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.scene import QUICKLY_S, Scene, ifindexes
from tests.lab import LabHost, diff_snapshots, fetch, http_server, ping, tcp_connect, tcp_hold, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tier.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that the tests edit."""
    path = tmp_path / "ductwork.yaml"
    _write(path, _topology())
    return path


def _topology() -> dict[str, Any]:
    return {
        "version": 1,
        "name": "test",
        "networks": {"front": {}, "back": {"internal": True}, "steady": {"subnets": ["10.77.0.0/24"]}},
        "sandboxes": {
            "web": {"networks": ["front", "back"], "ports": ["8080:80"], "links": ["db:database"]},
            "app": {"networks": ["front", "steady"]},
            "db": {"networks": ["back"]},
            "far": {"networks": ["steady"]},
        },
    }


def _write(path: Path, topology: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(topology, sort_keys=False))


def _with_carrier(host: LabHost) -> None:
    """Wait for the bridges' carrier, which comes a little later by itself."""
    wait_until(lambda: "linkdown" not in host.run("ip", "route").stdout, "the bridges up")


def test_i5_the_example_works(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("up", str(EXAMPLE))
        web, db = scene.inside("web"), scene.inside("db")
        http_server(web, 80, "web")
        http_server(db, 5432, "db")
        seen = fetch(outside, f"http://{host.address}:8080/")
        assert seen is not None
        assert (seen["text"], seen["client"]) == ("web", str(outside.address))
        words = ("curl", "-sS", "--noproxy", "*", "--max-time", "3", "http://database:5432/")
        assert '"text": "db"' in host.duct("sandbox", "exec", "web", "--", *words).stdout
        assert not ping(db, outside.address, timeout=QUICKLY_S), "back is internal"
        scene.end_processes()
        host.duct("down", str(EXAMPLE))
        assert host.duct_json("sandbox", "ls") == [s for s in host.duct_json("sandbox", "ls") if not s["id"]]
        assert scene.changes() == ""


def test_i5_up_twice_changes_nothing(host: LabHost, file: Path) -> None:
    with Scene(host) as scene:
        host.duct("up", str(file))
        _with_carrier(host)
        before = host.snapshot()
        inner = {name: ifindexes(scene.inside(name)) for name in ("web", "app", "db", "far")}
        assert "already" in host.duct("up", str(file)).stdout
        assert diff_snapshots(before, host.snapshot()) == ""
        assert {name: ifindexes(scene.inside(name)) for name in inner} == inner
        host.duct("down", str(file))
        assert host.duct("down", str(file)).returncode == 0, "what is gone is success"


def test_i5_an_edit_changes_only_what_differs(host: LabHost, outside: LabHost, file: Path) -> None:
    with Scene(host) as scene:
        host.duct("up", str(file))
        app, far, web = (scene.inside(name) for name in ("app", "far", "web"))
        tcp_hold(far, 7000)
        http_server(web, 80, "web")
        with (
            tcp_connect(app, scene.address("far"), 7000) as inside,
            tcp_connect(host, scene.address("far"), 7000) as direct,
        ):
            assert inside.ask()
            assert direct.ask()
            numbers = [ifindexes(ns) for ns in (app, far, web)]
            outer = ifindexes(host)

            edited = _topology()
            edited["sandboxes"]["web"]["ports"] = ["8081:80"]
            edited["sandboxes"]["new"] = {"networks": ["front"]}
            del edited["sandboxes"]["db"], edited["sandboxes"]["web"]["links"]
            edited["networks"]["front"] = {"mtu": 1400}
            _write(file, edited)
            host.duct("up", str(file))

            assert inside.ask(), "an established connection through a network that nobody edited"
            assert direct.ask()
        assert [ifindexes(ns) for ns in (app, far, web)] == numbers
        kept = {name: number for name, number in ifindexes(host).items() if name in outer}
        assert len(outer.items() - kept.items()) == 1, "only db's port is gone"
        assert all(outer[name] == number for name, number in kept.items())
        assert web.ip("link", "show", "eth0")[0]["mtu"] == 1400
        assert ping(scene.inside("new"), scene.address("web"))
        assert not (host.state_dir / "netns" / "db").exists()
        assert fetch(outside, f"http://{host.address}:8081/")
        assert fetch(outside, f"http://{host.address}:8080/", QUICKLY_S) is None
        scene.end_processes()
        host.duct("down", str(file))


def test_i5_diff_says_by_its_exit_code_whether_there_is_one(host: LabHost, file: Path) -> None:
    with Scene(host):
        before = host.snapshot()
        assert host.duct("diff", str(file), check=False).returncode == 1
        assert diff_snapshots(before, host.snapshot()) == "", "it only looks"
        host.duct("up", str(file))
        same = host.duct("diff", str(file), check=False)
        assert (same.returncode, same.stdout) == (0, "")
        host.duct("unpublish", "web", "8080")
        shown = host.duct("diff", str(file), check=False)
        assert shown.returncode == 1
        assert "8080" in shown.stdout
        host.duct("up", str(file))
        assert host.duct("diff", str(file), check=False).returncode == 0
        host.duct("down", str(file))


def test_i5_down_leaves_what_others_made(host: LabHost, file: Path) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "mine")
        mine = scene.sandbox("mine", "mine")
        host.duct("up", str(file))
        host.duct("down", str(file))
        assert [n["name"] for n in host.duct_json("network", "ls")] == ["mine"]
        assert ping(mine, scene.gateway("mine"))


@pytest.mark.parametrize(
    ("edit", "code", "word"),
    [
        ({"networks": {"front": {"colour": "red"}}}, 2, "colour"),
        ({"networks": {"front": {"subnets": ["10.7.0.1/24"]}}}, 2, "10.7.0.1/24"),
        ({"networks": {"front": {"subnets": ["192.0.2.0/24"]}}}, 4, "192.0.2"),
        ({"sandboxes": {"web": {"networks": ["nonet"]}}}, 2, "nonet"),
        ({"version": 99}, 2, "version"),
    ],
)
def test_i5_a_wrong_file_changes_nothing(
    host: LabHost, file: Path, edit: dict[str, Any], code: int, word: str
) -> None:
    with Scene(host) as scene:
        _write(file, {**_topology(), **({"sandboxes": {}} if "networks" in edit else {}), **edit})
        result = host.duct("up", str(file), check=False)
        assert result.returncode == code, result.stderr
        assert result.stderr.startswith("duct: ")
        assert word in result.stderr
        assert "Traceback" not in result.stderr
        assert scene.changes() == ""
