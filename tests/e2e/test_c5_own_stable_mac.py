"""Row C5: every endpoint has a MAC of its own, and the same one again after any rebuild.

a, b, c ── dw-… h1          (and a once more on a second network)
"""

from tests.e2e.scene import Inside, Scene, refused
from tests.lab import Lab, LabHost, ping


def test_c5_each_has_its_own_and_the_neighbours_see_it(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        host.duct("network", "create", "other", "--subnet", "10.8.0.0/24")
        places = {
            name: scene.sandbox(name, "net", *(["other"] if name == "a" else [])) for name in ("a", "b", "c")
        }
        macs = [_mac(place) for place in places.values()] + [_mac(places["a"], "eth1")]
        bridges = [link["address"] for link in host.ip("link", "show", "type", "bridge")]
        assert len({*macs, *bridges}) == len(macs) + len(bridges), "no two are the same"
        for mac in macs:
            first = int(mac[:2], 16)
            assert first & 1 == 0, "one station's, no group's"
            assert first & 2 == 2, "administered locally, no maker's"
        for name in ("b", "c"):
            assert ping(places["a"], scene.address(name))
        seen = {
            n["dst"]: n["lladdr"] for n in places["a"].ip("neigh", "show", "dev", "eth0") if "lladdr" in n
        }
        assert {scene.address(name): _mac(places[name]) for name in ("b", "c")}.items() <= seen.items()
        shown = {e["sandbox"]: e["mac"] for e in host.duct_json("network", "inspect", "net")[0]["endpoints"]}
        assert shown == {name: _mac(place) for name, place in places.items()}


def test_c5_the_same_after_every_kind_of_rebuild(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        host.duct("network", "create", "other")
        a, b = scene.sandbox("a", "net"), scene.sandbox("b", "net")
        macs = {"a": _mac(a), "b": _mac(b)}
        assert macs["a"] != macs["b"]

        host.duct("disconnect", "net", "a")
        host.duct("connect", "net", "a", "--ifname", "lan0")
        assert _mac(a, "lan0") == macs["a"], "disconnected and connected"

        host.duct("sandbox", "rm", "a", "b")
        assert _mac(scene.sandbox("b", "net")) == macs["b"], "removed and created, in another order"
        assert _mac(scene.sandbox("a", "other", "net"), "eth1") == macs["a"]

        host.duct("sandbox", "rm", "a", "b")
        host.duct("network", "rm", "net")
        host.duct("network", "create", "net", "--subnet", "10.77.0.0/24")
        assert _mac(scene.sandbox("a", "net")) == macs["a"], "with another network of the same name"


def test_c5_the_link_local_address_follows(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "fd00:9::/64")
        before = _link_local(scene.sandbox("a", "net"))
        host.duct("sandbox", "rm", "a")
        assert _link_local(scene.sandbox("a", "net")) == before


def test_c5_chosen_by_hand(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        a, _b = scene.sandbox("a"), scene.sandbox("b")
        host.duct("connect", "net", "a", "--mac", "02:00:00:00:be:ef")
        assert _mac(a) == "02:00:00:00:be:ef"
        assert "in use by a" in refused(host, "connect", "net", "b", "--mac", "02:00:00:00:be:ef").stderr
        for bad in ("01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "nonsense"):
            assert refused(host, "connect", "net", "b", "--mac", bad).returncode == 2


def test_c5_two_hosts_do_not_make_the_same(lab: Lab, host: LabHost) -> None:
    """They may be bridged to one LAN one day, with networks and sandboxes of the same names."""
    other = lab.host("h2")
    with Scene(host) as here, Scene(other) as there:
        for place in (host, other):
            place.duct("network", "create", "net")
        assert _mac(here.sandbox("a", "net")) != _mac(there.sandbox("a", "net"))


def _mac(place: Inside, ifname: str = "eth0") -> str:
    return str(place.ip("link", "show", "dev", ifname)[0]["address"])


def _link_local(place: Inside) -> list[str]:
    (link,) = place.ip("addr", "show", "dev", "eth0", "scope", "link")
    return [a["local"] for a in link["addr_info"] if a]
