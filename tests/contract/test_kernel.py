"""What every Kernel must do: one suite for the fake and for Linux itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from errno import EEXIST, ENETUNREACH, ENODEV, ENOENT
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

import pytest
from tests.contract.machines import FakeMachine, Machine, RealMachine, real_is_missing

from ductwork.kernel.ports import AddressInfo, Kernel, KernelError, LinkInfo, NeighbourInfo, RouteInfo
from ductwork.model.names import Mac
from ductwork.model.objects import (
    HOST,
    PROTOCOL,
    Add,
    Address,
    Bridge,
    Change,
    LinkUp,
    LoopbackGuard,
    Neighbour,
    NftElement,
    NsKey,
    Remove,
    Route,
    Ruleset,
    Step,
    Veth,
)
from ductwork.plan.ruleset import render_ruleset

BOX = NsKey("box")

BRIDGE = Bridge(HOST, "dwbr", 5001, Mac("02:00:00:00:50:01"), 1500, "ductwork:n1", False, False)
VETH = Veth(
    ns=HOST,
    name="dwv1",
    ifindex=5002,
    alias="ductwork:e1",
    mtu=1500,
    peer_ns=BOX,
    peer_name="eth0",
    peer_ifindex=5003,
    peer_mac=Mac("02:00:00:00:50:03"),
    master=BRIDGE.ifindex,
)
GATEWAY = Address(HOST, BRIDGE.name, BRIDGE.ifindex, IPv4Interface("10.50.0.1/24"))
INSIDE = Address(BOX, "eth0", VETH.peer_ifindex, IPv4Interface("10.50.0.2/24"))
DEFAULT = Route(BOX, IPv4Network("0.0.0.0/0"), IPv4Address("10.50.0.1"), "eth0", VETH.peer_ifindex)
NEIGHBOUR = Neighbour(BOX, "eth0", VETH.peer_ifindex, IPv4Address("10.50.0.1"), BRIDGE.mac)
GUARD = LoopbackGuard(HOST, BRIDGE.name, BRIDGE.ifindex)
RULESET = Ruleset(HOST, "0c2f1d9e", render_ruleset("0c2f1d9e"))
PORT = NftElement(HOST, "publish_any4", (6, 8080), (IPv4Address("10.50.0.2"), 80))


@pytest.fixture(params=["fake", "real"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    if request.param == "fake":
        yield FakeMachine()
        return
    if missing := real_is_missing():
        pytest.skip(missing)
    real = RealMachine(tmp_path)
    try:
        yield real
    finally:
        real.close()


@pytest.fixture
def kernel(machine: Machine) -> Kernel:
    return machine.kernel


@pytest.fixture
def box(machine: Machine) -> str:
    """The path of a sandbox's namespace, bound to BOX."""
    path = f"{machine.folder}/box"
    machine.kernel.create_namespace(path)
    machine.kernel.bind(BOX, path)
    return path


def do(kernel: Kernel, *steps: Step) -> None:
    """Apply steps of any namespaces in order; every one must succeed."""
    for step in steps:
        item = step.new if isinstance(step, Change) else step.object
        errors = kernel.route(NsKey(getattr(item, "ns", HOST))).apply([step])
        assert errors == [None], (step, errors)


def errno_of(error: KernelError | None) -> int | None:
    return None if error is None else error.errno


def link(kernel: Kernel, name: str, key: NsKey = HOST) -> LinkInfo | None:
    return next((found for found in kernel.route(key).links() if found.name == name), None)


def attach(kernel: Kernel) -> None:
    do(kernel, Add(BRIDGE), Add(VETH), Add(GATEWAY), Add(LinkUp(BOX, "lo")), Add(INSIDE))


class TestNamespaces:
    def test_create_bind_and_delete(self, machine: Machine, kernel: Kernel) -> None:
        path = f"{machine.folder}/one"
        kernel.create_namespace(path)
        assert kernel.namespace_paths(machine.folder) == [path]
        info = kernel.bind(BOX, path)
        assert info == kernel.bound(BOX)
        assert (info.path, info.cookie > 0) == (path, True)
        kernel.unbind(BOX)
        assert kernel.bound(BOX) is None
        kernel.delete_namespace(path)
        kernel.delete_namespace(path)
        assert kernel.namespace_paths(machine.folder) == []

    def test_a_taken_path_is_refused(self, machine: Machine, kernel: Kernel, box: str) -> None:
        with pytest.raises(FileExistsError):
            kernel.create_namespace(box)
        assert kernel.namespace_paths(machine.folder) == [box]

    def test_binding_nothing(self, machine: Machine, kernel: Kernel) -> None:
        with pytest.raises(FileNotFoundError):
            kernel.bind(BOX, f"{machine.folder}/nothing")
        assert kernel.bound(BOX) is None

    def test_binding_an_ordinary_file(self, machine: Machine, kernel: Kernel) -> None:
        path = f"{machine.folder}/file"
        machine.ordinary_file(path)
        with pytest.raises(ValueError, match=r"."):
            kernel.bind(BOX, path)

    def test_cookies_tell_namespaces_apart(self, machine: Machine, kernel: Kernel, box: str) -> None:
        other = f"{machine.folder}/other"
        kernel.create_namespace(other)
        infos = [kernel.bind(NsKey(path), path) for path in (box, other, box)]
        assert infos[0].cookie == infos[2].cookie != infos[1].cookie

    @pytest.mark.usefixtures("box")
    def test_the_host_is_bound_from_the_start(self, kernel: Kernel) -> None:
        host, sandbox = kernel.bound(HOST), kernel.bound(BOX)
        assert host is not None
        assert sandbox is not None
        assert host.cookie != sandbox.cookie


@pytest.mark.usefixtures("box")
class TestLinks:
    def test_a_bridge_is_there_and_up(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE))
        found = link(kernel, BRIDGE.name)
        assert found is not None
        assert (found.ifindex, found.kind, found.mac) == (BRIDGE.ifindex, "bridge", BRIDGE.mac)
        assert (found.mtu, found.up, found.alias) == (1500, True, BRIDGE.alias)

    def test_route_localnet(self, kernel: Kernel) -> None:
        path = f"net/ipv4/conf/{BRIDGE.name}/route_localnet"
        do(kernel, Add(BRIDGE))
        assert kernel.sysctl(HOST).get(path) == "0"
        do(kernel, Change(BRIDGE, replace(BRIDGE, route_localnet=True)))
        assert kernel.sysctl(HOST).get(path) == "1"

    def test_a_veth_reaches_into_the_sandbox(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE), Add(VETH))
        outer, inner = link(kernel, VETH.name), link(kernel, "eth0", BOX)
        assert outer is not None
        assert inner is not None
        assert (outer.ifindex, outer.peer_ifindex) == (VETH.ifindex, VETH.peer_ifindex)
        assert (inner.ifindex, inner.peer_ifindex) == (VETH.peer_ifindex, VETH.ifindex)
        assert (outer.kind, inner.kind, outer.alias) == ("veth", "veth", VETH.alias)
        assert (outer.master, inner.master) == (BRIDGE.ifindex, 0)
        assert inner.mac == VETH.peer_mac
        assert (outer.up, inner.up, outer.carrier, inner.carrier) == (True, True, True, True)

    def test_adding_twice_fails_that_step_only(self, kernel: Kernel) -> None:
        errors = kernel.route(HOST).apply([Add(BRIDGE), Add(BRIDGE), Add(GATEWAY), Add(GATEWAY), Add(GUARD)])
        assert [errno_of(e) for e in errors] == [None, EEXIST, None, EEXIST, None]
        assert kernel.route(HOST).guards() == [BRIDGE.ifindex]

    def test_an_error_says_what_was_done(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE))
        (error,) = kernel.route(HOST).apply([Add(BRIDGE)])
        assert error is not None
        assert error.doing
        assert error.doing in str(error)

    def test_a_tolerant_add_brings_ours_in_line(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE), Add(VETH))
        do(kernel, Add(replace(BRIDGE, mtu=1400), tolerant=True))
        do(kernel, Add(replace(VETH, mtu=1400), tolerant=True))
        mtus = [link(kernel, BRIDGE.name), link(kernel, VETH.name), link(kernel, "eth0", BOX)]
        assert [found.mtu for found in mtus if found] == [1400, 1400, 1400]

    def test_a_tolerant_add_makes_what_is_not_there(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE, tolerant=True), Add(VETH, tolerant=True))
        assert link(kernel, VETH.name)

    def test_a_strangers_name_is_never_taken_over(self, machine: Machine, kernel: Kernel) -> None:
        index = machine.stranger(BRIDGE.name)
        for tolerant in (False, True):
            (error,) = kernel.route(HOST).apply([Add(BRIDGE, tolerant)])
            assert errno_of(error) == EEXIST
        found = link(kernel, BRIDGE.name)
        assert found is not None
        assert (found.ifindex, found.alias) == (index, "")

    def test_removing_twice_is_success(self, kernel: Kernel) -> None:
        do(kernel, Add(BRIDGE), Add(VETH))
        do(kernel, Remove(VETH), Remove(VETH), Remove(BRIDGE), Remove(BRIDGE))
        assert link(kernel, BRIDGE.name) is None
        assert link(kernel, VETH.name) is None

    def test_a_strangers_link_stays(self, machine: Machine, kernel: Kernel) -> None:
        index = machine.stranger(BRIDGE.name)
        do(kernel, Remove(BRIDGE), Remove(replace(BRIDGE, ifindex=index)))
        assert link(kernel, BRIDGE.name)

    def test_peers_vanish_together(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Add(DEFAULT), Add(NEIGHBOUR), Remove(VETH))
        assert link(kernel, "eth0", BOX) is None
        route = kernel.route(BOX)
        assert not [a for a in route.addresses() if a.ifindex == VETH.peer_ifindex]
        assert not [r for r in route.routes() if r.ifindex == VETH.peer_ifindex]
        assert not [n for n in route.neighbours() if n.ifindex == VETH.peer_ifindex]

    def test_a_failed_veth_leaves_neither_end(self, kernel: Kernel) -> None:
        attach(kernel)
        second = replace(VETH, name="dwv2", ifindex=5010, peer_ifindex=5011)  # eth0 is taken
        (error,) = kernel.route(HOST).apply([Add(second)])
        assert errno_of(error) == EEXIST
        assert link(kernel, "dwv2") is None
        assert len(kernel.route(BOX).links()) == 2

    def test_change_mtu(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Change(BRIDGE, replace(BRIDGE, mtu=1450)), Change(VETH, replace(VETH, mtu=1450)))
        found = [link(kernel, BRIDGE.name), link(kernel, VETH.name), link(kernel, "eth0", BOX)]
        assert [each.mtu for each in found if each] == [1450] * 3
        assert AddressInfo(INSIDE.ifindex, INSIDE.ip) in kernel.route(BOX).addresses()

    def test_change_master(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Change(VETH, replace(VETH, master=0)))
        found = link(kernel, VETH.name)
        assert found is not None
        assert found.master == 0

    def test_a_pair_without_its_bridge_is_refused_in_words(self, kernel: Kernel) -> None:
        for step in (Add(VETH), Add(VETH, tolerant=True)):
            (error,) = kernel.route(HOST).apply([step])
            assert error is not None
            assert (error.errno, "its bridge is gone" in str(error)) == (ENODEV, True)
            assert link(kernel, VETH.name) is None

    def test_links_of_a_bridge_outlive_it(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Remove(BRIDGE))
        found = link(kernel, VETH.name)
        assert found is not None
        assert found.master == 0


@pytest.mark.usefixtures("box")
class TestLayer3:
    def test_dumps_contain_what_was_added(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Add(DEFAULT), Add(NEIGHBOUR), Add(GUARD))
        inside = kernel.route(BOX)
        assert AddressInfo(INSIDE.ifindex, INSIDE.ip) in inside.addresses()
        assert NeighbourInfo(NEIGHBOUR.ifindex, NEIGHBOUR.ip, NEIGHBOUR.mac) in inside.neighbours()
        assert RouteInfo(DEFAULT.dst, DEFAULT.via, DEFAULT.ifindex, 0, 254, PROTOCOL) in inside.routes()
        assert kernel.route(HOST).guards() == [BRIDGE.ifindex]

    def test_a_connected_route_comes_and_goes_with_its_address(self, kernel: Kernel) -> None:
        attach(kernel)
        connected = RouteInfo(INSIDE.ip.network, None, INSIDE.ifindex, 0, 254, 2, INSIDE.ip.ip)
        assert connected in kernel.route(BOX).routes()
        do(kernel, Remove(INSIDE))
        assert [r for r in kernel.route(BOX).routes() if r.ifindex == INSIDE.ifindex] == []

    def test_ipv6(self, kernel: Kernel) -> None:
        attach(kernel)
        inside = replace(INSIDE, ip=IPv6Interface("fd50::2/64"))
        default = replace(DEFAULT, dst=IPv6Network("::/0"), via=IPv6Address("fd50::1"))
        do(kernel, Add(inside), Add(default))
        route = kernel.route(BOX)
        assert AddressInfo(inside.ifindex, inside.ip) in route.addresses()
        assert RouteInfo(default.dst, default.via, default.ifindex, 1024, 254, PROTOCOL) in route.routes()

    def test_a_gateway_must_be_a_neighbour(self, kernel: Kernel) -> None:
        attach(kernel)
        far = replace(DEFAULT, via=IPv4Address("10.99.0.1"))
        errors = kernel.route(BOX).apply([Add(far), Add(DEFAULT), Add(NEIGHBOUR)])
        assert [errno_of(e) for e in errors] == [ENETUNREACH, None, None]

    def test_a_direct_route_makes_a_gateway_a_neighbour(self, kernel: Kernel) -> None:
        attach(kernel)
        router = IPv4Address("169.254.1.1")
        do(
            kernel,
            Add(replace(DEFAULT, dst=IPv4Network(router), via=None)),
            Add(replace(DEFAULT, via=router)),
        )

    @pytest.mark.parametrize("item", [GATEWAY, GUARD], ids=["address", "guard"])
    def test_twice_in_the_host(self, kernel: Kernel, item: Address | LoopbackGuard) -> None:
        do(kernel, Add(BRIDGE))
        errors = kernel.route(HOST).apply([Add(item), Add(item), Add(item, tolerant=True)])
        assert [errno_of(e) for e in errors] == [None, EEXIST, None]
        do(kernel, Remove(item), Remove(item))
        assert kernel.route(HOST).guards() == []
        assert AddressInfo(GATEWAY.ifindex, GATEWAY.ip) not in kernel.route(HOST).addresses()

    @pytest.mark.parametrize("item", [DEFAULT, NEIGHBOUR], ids=["route", "neighbour"])
    def test_twice_in_the_sandbox(self, kernel: Kernel, item: Route | Neighbour) -> None:
        attach(kernel)
        errors = kernel.route(BOX).apply([Add(item), Add(item), Add(item, tolerant=True)])
        assert [errno_of(e) for e in errors] == [None, EEXIST, None]
        do(kernel, Remove(item), Remove(item))
        route = kernel.route(BOX)
        assert not [r for r in route.routes() if r.protocol == PROTOCOL]
        assert not [n for n in route.neighbours() if n.ip == NEIGHBOUR.ip]

    def test_tolerant_adds_and_changes_replace(self, kernel: Kernel) -> None:
        attach(kernel)
        moved = replace(DEFAULT, via=IPv4Address("10.50.0.9"))
        newer = replace(NEIGHBOUR, mac=Mac("02:00:00:00:50:99"))
        do(kernel, Add(DEFAULT), Add(NEIGHBOUR), Add(moved, tolerant=True), Add(newer, tolerant=True))
        assert [r.via for r in kernel.route(BOX).routes() if r.protocol == PROTOCOL] == [moved.via]
        assert [n.mac for n in kernel.route(BOX).neighbours()] == [newer.mac]
        do(kernel, Change(moved, DEFAULT), Change(newer, NEIGHBOUR))
        assert [r.via for r in kernel.route(BOX).routes() if r.protocol == PROTOCOL] == [DEFAULT.via]
        assert [n.mac for n in kernel.route(BOX).neighbours()] == [NEIGHBOUR.mac]

    @pytest.mark.parametrize("item", [GATEWAY, GUARD], ids=["address", "guard"])
    def test_nothing_on_a_link_that_is_not_there(self, kernel: Kernel, item: Address | LoopbackGuard) -> None:
        (error,) = kernel.route(HOST).apply([Add(item)])
        assert errno_of(error) == ENODEV
        do(kernel, Remove(item))

    def test_routes_of_others_are_taken_and_given_back(self, kernel: Kernel) -> None:
        attach(kernel)
        theirs = RouteInfo(DEFAULT.dst, IPv4Address("10.50.0.7"), DEFAULT.ifindex, 0, 254, 3)
        route = kernel.route(BOX)
        route.routes_restore([theirs])
        assert theirs in route.routes()
        route.routes_remove([theirs])
        do(kernel, Add(DEFAULT), Remove(DEFAULT))
        route.routes_restore([theirs])
        assert theirs in route.routes()


class TestNft:
    def test_load_and_delete(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        assert nft.owner() is None
        nft.load(RULESET)
        assert nft.owner() == RULESET.owner
        chains = {(chain.table, chain.name): chain for chain in nft.base_chains()}
        assert chains["ductwork", "forward"].hook == "forward"
        assert chains["ductwork", "guard"].priority == -300
        nft.delete_table()
        nft.delete_table()
        assert nft.owner() is None

    def test_loading_again_replaces(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        nft.apply([Add(PORT)])
        nft.load(Ruleset(HOST, "7777", render_ruleset("7777")))
        assert nft.owner() == "7777"
        assert nft.elements(PORT.set) == []

    def test_elements_come_change_and_go(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        bridges = NftElement(HOST, "bridges", ("dwbr",))
        nft.apply([Add(PORT), Add(bridges)])
        assert nft.elements(PORT.set) == [PORT]
        assert nft.elements("bridges") == [bridges]
        moved = replace(PORT, value=(IPv4Address("10.50.0.3"), 81))
        nft.apply([Change(PORT, moved)])
        assert nft.elements(PORT.set) == [moved]
        nft.apply([Remove(moved), Remove(bridges)])
        assert nft.elements(PORT.set) == nft.elements("bridges") == []

    def test_every_kind_of_field(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        source = IPv4Network("192.0.2.0/24")
        target6 = (IPv6Address("fd50::2"), 80)
        elements = [
            NftElement(HOST, "same", ("dwbr", "dwbr")),
            NftElement(HOST, "own_gateway6", ("dwbr", IPv6Address("fd50::1"))),
            NftElement(HOST, "publish6", (17, IPv6Address("2001:db8::1"), 53), target6),
            NftElement(HOST, "publish_any_from4", (6, 8081, source), (IPv4Address("10.50.0.2"), 80)),
        ]
        nft.apply([Add(element) for element in elements])
        assert [nft.elements(element.set) for element in elements] == [[element] for element in elements]

    def test_all_or_nothing(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        nft.apply([Add(PORT)])
        fresh = replace(PORT, key=(6, 9090))
        taken = replace(PORT, value=(IPv4Address("10.50.0.9"), 80))
        with pytest.raises(KernelError) as caught:
            nft.apply([Add(fresh), Add(taken)])
        assert caught.value.errno == EEXIST
        assert nft.elements(PORT.set) == [PORT]

    def test_a_tolerant_add_takes_the_place(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        moved = replace(PORT, value=(IPv4Address("10.50.0.3"), 81))
        nft.apply([Add(PORT)])
        nft.apply([Add(PORT, tolerant=True), Add(replace(PORT, key=(6, 1)), tolerant=True)])
        nft.apply([Add(moved, tolerant=True)])
        assert set(nft.elements(PORT.set)) == {moved, replace(PORT, key=(6, 1))}

    def test_removing_what_is_gone_disturbs_nothing(self, kernel: Kernel) -> None:
        nft = kernel.nft(HOST)
        nft.load(RULESET)
        nft.apply([Remove(PORT), Add(replace(PORT, key=(6, 1))), Remove(PORT)])
        assert len(nft.elements(PORT.set)) == 1

    def test_no_table_no_elements(self, kernel: Kernel) -> None:
        with pytest.raises(KernelError) as caught:
            kernel.nft(HOST).apply([Add(PORT)])
        assert caught.value.errno == ENOENT


@pytest.mark.usefixtures("box")
class TestSysctl:
    def test_get_set_and_tree(self, kernel: Kernel) -> None:
        sysctl = kernel.sysctl(HOST)
        path = "net/ipv4/conf/default/rp_filter"
        for value in ("2", "0"):
            sysctl.set(path, value)
            assert sysctl.get(path) == value
            assert sysctl.tree("net/ipv4/conf/default")[path] == value
        assert sysctl.get("net/ipv4/conf/nothing/rp_filter") is None
        with pytest.raises(KernelError):
            sysctl.set("net/ipv4/conf/nothing/rp_filter", "1")

    def test_forwarding_drags_others_along(self, kernel: Kernel) -> None:
        sysctl = kernel.sysctl(HOST)
        do(kernel, Add(BRIDGE))
        sysctl.set("net/ipv4/ip_forward", "1")
        for which in ("all", "default", BRIDGE.name):
            assert sysctl.get(f"net/ipv4/conf/{which}/forwarding") == "1"
        assert sysctl.get("net/ipv4/conf/all/accept_redirects") == "0"
        sysctl.set("net/ipv6/conf/all/forwarding", "1")
        assert sysctl.get(f"net/ipv6/conf/{BRIDGE.name}/forwarding") == "1"

    def test_ipv6_switched_off_takes_its_addresses_along(self, kernel: Kernel) -> None:
        attach(kernel)
        do(kernel, Add(replace(INSIDE, ip=IPv6Interface("fd50::2/64"))))
        kernel.sysctl(BOX).set("net/ipv6/conf/eth0/disable_ipv6", "1")
        found = [a.ip for a in kernel.route(BOX).addresses() if a.ifindex == INSIDE.ifindex]
        assert found == [INSIDE.ip]

    def test_every_namespace_has_its_own(self, kernel: Kernel) -> None:
        kernel.sysctl(BOX).set("net/ipv4/ip_forward", "1")
        found = [kernel.sysctl(key).get("net/ipv4/ip_forward") for key in (HOST, BOX)]
        assert found == ["0", "1"]
