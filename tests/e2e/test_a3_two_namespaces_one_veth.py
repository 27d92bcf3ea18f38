"""Row A3: driver `link` joins exactly two sandboxes by one veth pair, with no bridge in between.

a ─ eth0 ═══════ eth0 ─ b          h1 itself has neither bridge nor port of it
"""

import pytest
from tests.e2e.scene import Inside, Scene, refused
from tests.lab import Lab, LabHost, fetch, http_server, ping


def test_a3_one_pair_and_no_bridge(host: LabHost) -> None:
    with Scene(host) as scene:
        links = host.link_names()
        host.duct("network", "create", "cable", "--driver", "link", "--subnet", "10.9.0.0/30", "--ipv6")
        a = scene.sandbox("a", "cable")
        assert a.link_names() == ["lo"], "one end alone is no cable"
        b = scene.sandbox("b", "cable")
        assert host.link_names() == links
        assert host.ip("link", "show", "type", "bridge") == []
        assert host.run("nft", "list", "tables").stdout == "", "a cable needs no rules of the host"
        assert host.sysctl("net/ipv4/ip_forward") == "0"
        _are_one_pair(a, b)
        for version in (4, 6):
            assert ping(a, scene.address("b", version))
            assert ping(b, scene.address("a", version))
        with http_server(b, 80, "b"):
            seen = fetch(a, f"http://{scene.address('b')}/")
        assert seen is not None
        assert seen["client"] == scene.address("a"), "nobody in between translates"
        assert not a.ip("route", "show", "default"), "a cable leads nowhere else"


def test_a3_a_third_end_is_refused_and_changes_nothing(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "cable", "--driver", "link")
        for name in ("a", "b", "c"):
            scene.sandbox(name, *(["cable"] if name != "c" else []))
        before = {name: scene.inside(name).ip("addr", "show") for name in "abc"}
        assert "2 endpoints" in refused(host, "connect", "cable", "c").stderr
        assert {name: scene.inside(name).ip("addr", "show") for name in "abc"} == before


@pytest.mark.parametrize("leaver", ["a", "b"])
def test_a3_unplugging_one_end_takes_the_pair_and_plugging_in_brings_it_back(
    host: LabHost, leaver: str
) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "cable", "--driver", "link")
        a, b = scene.sandbox("a", "cable"), scene.sandbox("b", "cable")
        stays = "b" if leaver == "a" else "a"
        address, mac = scene.address(stays), _mac(scene.inside(leaver))
        host.duct("disconnect", "cable", leaver)
        assert a.link_names() == b.link_names() == ["lo"]
        host.duct("connect", "cable", leaver)
        _are_one_pair(a, b)
        assert _mac(scene.inside(leaver)) == mac
        assert scene.address(stays) == address
        assert ping(a, scene.address("b"))


def test_a3_the_other_end_may_be_unplugged_for_another(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "cable", "--driver", "link")
        for name in ("a", "b"):
            scene.sandbox(name, "cable")
        c = scene.sandbox("c")
        host.duct("disconnect", "cable", "b")
        host.duct("connect", "cable", "c")
        _are_one_pair(scene.inside("a"), c)
        assert ping(c, scene.address("a"))


def test_a3_namespaces_of_ip_netns_can_be_the_ends(lab: Lab, host: LabHost) -> None:
    one, two = lab.namespace("one"), lab.namespace("two")
    with Scene(host):
        host.duct("network", "create", "cable", "--driver", "link", "--subnet", "10.9.0.0/30")
        host.duct("connect", "cable", f"netns:{one.name}", "--ip", "10.9.0.1", "--ifname", "left")
        host.duct("connect", "cable", f"netns:{two.name}", "--ip", "10.9.0.2", "--ifname", "right")
        assert one.addresses("left") == ["10.9.0.1/30"]
        assert ping(one, "10.9.0.2")
        host.duct("disconnect", "cable", f"netns:{one.name}")
        assert one.link_names() == two.link_names() == ["lo"]


def _are_one_pair(a: Inside, b: Inside) -> None:
    (one,), (two,) = a.ip("-d", "link", "show", "dev", "eth0"), b.ip("-d", "link", "show", "dev", "eth0")
    assert one["linkinfo"]["info_kind"] == two["linkinfo"]["info_kind"] == "veth"
    assert (one["link_index"], two["link_index"]) == (two["ifindex"], one["ifindex"])
    assert one["operstate"] == two["operstate"] == "UP"


def _mac(place: Inside) -> str:
    return str(place.ip("link", "show", "dev", "eth0")[0]["address"])
