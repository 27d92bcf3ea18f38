"""What somebody else broke comes back, by the next changing command or by `duct repair`, and so does traffic.

outside ── underlay ── h1:8088 ─┬─ net  ── web :8000
                                └─ back ── app
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.e2e.scene import QUICKLY_S, Scene, refused
from tests.lab import LabHost, fetch, http_server, wait_until

from ductwork.model.nft_schema import FAMILY, TABLE


def _flush_table(host: LabHost) -> None:
    host.run("nft", "flush", "table", FAMILY, TABLE)


def _flush_set(host: LabHost) -> None:
    host.run("nft", "flush", "set", FAMILY, TABLE, "bridges")


def _delete_bridge(host: LabHost) -> None:
    host.run("ip", "link", "del", _bridge(host, "net"))


def _delete_port(host: LabHost) -> None:
    host.run("ip", "link", "del", host.duct_json("inspect", "web")[0]["endpoints"][0]["host_ifname"])


def _delete_published(host: LabHost) -> None:
    host.run("nft", "flush", "map", FAMILY, TABLE, "publish_any4")


def _flush_everything(host: LabHost) -> None:
    host.run("nft", "flush", "ruleset")


def _bridge(host: LabHost, network: str) -> str:
    (found,) = host.duct_json("network", "inspect", network)
    return str(found["options"]["bridge"])


NOTICED: dict[str, tuple[Callable[[LabHost], None], str]] = {
    "rules": (_flush_table, "somebody had flushed our rules"),
    "set": (_flush_set, "somebody had changed our sets"),
    "bridge": (_delete_bridge, "somebody had deleted bridge"),
    "table": (_flush_everything, "somebody had removed it"),
}
REPAIRED = {name: spoil for name, (spoil, _) in NOTICED.items()} | {
    "port": _delete_port,
    "published": _delete_published,
}


def _build(scene: Scene) -> None:
    host = scene.host
    host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
    host.duct("network", "create", "back", "--subnet", "10.8.0.0/24")
    http_server(scene.sandbox("web", "net"), 8000, "web", "::")
    scene.sandbox("app", "back")
    scene.sandbox("mate", "net")
    host.duct("publish", "web", "8088:8000")


def _works(scene: Scene, outside: LabHost) -> bool:
    """Published, reachable on its network and from nowhere else, and with its way out."""
    host = scene.host
    four, six = (
        a.partition("/")[0] for a in host.duct_json("inspect", "web")[0]["endpoints"][0]["addresses"]
    )
    url, own = f"http://{host.address}:8088/", f"http://{four}:8000/"
    return (
        fetch(outside, url, 3) is not None
        and fetch(scene.inside("mate"), own, 3) is not None
        and fetch(scene.inside("mate"), f"http://[{six}]:8000/", 3) is not None
        and fetch(scene.inside("app"), url, 3) is not None
        and fetch(scene.inside("app"), own, QUICKLY_S) is None
        and scene.inside("web").run("ping", "-c1", "-W3", str(outside.address), check=False).returncode == 0
    )


def _whole(host: LabHost) -> bool:
    found = host.duct_json("status")
    return (found["missing"], found["leftovers"]) == (0, [])


@pytest.mark.parametrize("kind", NOTICED)
def test_the_next_changing_command_restores(host: LabHost, outside: LabHost, kind: str) -> None:
    spoil, words = NOTICED[kind]
    with Scene(host) as scene:
        _build(scene)
        assert _works(scene, outside)
        spoil(host)
        assert "repair with: duct repair" in host.duct("status").stdout
        assert words in host.duct("network", "update", "back", "--label", "seen=yes").stderr
        assert _whole(host)
        wait_until(lambda: _works(scene, outside), "traffic as before")
        assert host.duct("network", "update", "back", "--label", "seen=again").stderr == ""


@pytest.mark.parametrize("kind", REPAIRED)
def test_repair_restores(host: LabHost, outside: LabHost, kind: str) -> None:
    with Scene(host) as scene:
        _build(scene)
        assert _works(scene, outside)
        REPAIRED[kind](host)
        assert not _works(scene, outside), "the damage is felt"
        missing = host.duct_json("status")["missing"]
        assert missing > 0
        planned = host.duct("repair", "--plan").stdout
        assert len(planned.splitlines()) >= missing
        assert host.duct_json("status")["missing"] == missing, "a plan does nothing"
        said = host.duct("repair").stdout
        assert f"{missing} missing, {missing} made again" in said
        assert _whole(host)
        wait_until(lambda: _works(scene, outside), "traffic as before")
        assert host.duct("repair").stdout == "nothing is missing\n"
        assert host.duct("repair", "--plan").stdout == "nothing to do\n"


def test_repair_says_what_is_in_the_way(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        bridge = _bridge(host, "net")
        host.run("ip", "link", "del", bridge)
        host.run("ip", "link", "add", bridge, "type", "bridge")
        said = refused(host, "repair")
        assert said.returncode == 5
        assert "not restored" in said.stderr
        host.run("ip", "link", "del", bridge)
        assert "made again" in host.duct("repair").stdout
        assert _whole(scene.host)
