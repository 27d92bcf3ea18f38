"""Making, changing and deleting links as rtnetlink does."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EXFULL

from ductwork.kernel.fake.faults import refuse
from ductwork.kernel.fake.namespace import BRIDGE_MAX_PORTS, FakeLink, FakeNamespace, check_mtu
from ductwork.model.objects import Bridge, Veth


def add_bridge(space: FakeNamespace, bridge: Bridge, doing: str, *, tolerant: bool) -> None:
    """Make a bridge that is up, or bring ours in line."""
    link = _ours(space, bridge) if tolerant else None
    if link is None:
        link = space.add_link(bridge.name, "bridge", bridge.ifindex, alias=bridge.alias, mtu=bridge.mtu)
    elif link.kind != "bridge":
        raise refuse(EEXIST, doing)
    _set_bridge(space, link, bridge, doing)


def change_bridge(space: FakeNamespace, old: Bridge, new: Bridge, doing: str) -> None:
    """Give a bridge other values without interrupting its ports."""
    _check_same_link(old, new, doing)
    _set_bridge(space, _require(space, old, doing), new, doing)


def _set_bridge(space: FakeNamespace, link: FakeLink, bridge: Bridge, doing: str) -> None:
    check_mtu(bridge.mtu, doing)
    link.mtu, link.mac, link.alias = bridge.mtu, bridge.mac, bridge.alias
    space.bring_up(link)
    _set_addr_gen_mode(space, bridge)
    conf = f"net/ipv4/conf/{bridge.name}/route_localnet"
    space.sysctls.write(conf, "1" if bridge.route_localnet else "0")


def _set_addr_gen_mode(space: FakeNamespace, link: Bridge | Veth) -> None:
    space.sysctls.write(f"net/ipv6/conf/{link.name}/addr_gen_mode", "0" if link.ipv6 else "1")


def add_veth(
    space: FakeNamespace, peer_space: FakeNamespace, veth: Veth, doing: str, *, tolerant: bool
) -> None:
    """Make both ends, or neither; one of ours whose other end went astray is made anew when tolerant."""
    link = _ours(space, veth) if tolerant else None
    if link is not None and link.peer != (peer_space, veth.peer_ifindex):
        space.remove_link(link.ifindex)
        link = None
    if link is None:
        check_mtu(veth.mtu, doing)
        _check_master(space, veth, None, doing)
        space.check_free(veth.name, veth.ifindex, doing)
        peer_space.check_free(veth.peer_name, veth.peer_ifindex, doing, as_peer=True)
        link = space.add_link(veth.name, "veth", veth.ifindex, alias=veth.alias)
        peer = peer_space.add_link(veth.peer_name, "veth", veth.peer_ifindex)
        link.peer, peer.peer = (peer_space, veth.peer_ifindex), (space, veth.ifindex)
    _set_veth(space, link, veth, doing)


def change_veth(space: FakeNamespace, old: Veth, new: Veth, doing: str) -> None:
    """Give a pair other values; its place, names and indexes stay."""
    _check_same_link(old, new, doing)
    if (old.peer_ns, old.peer_name, old.peer_ifindex) != (new.peer_ns, new.peer_name, new.peer_ifindex):
        raise refuse(EINVAL, doing)
    _set_veth(space, _require(space, old, doing), new, doing)


def _set_veth(space: FakeNamespace, link: FakeLink, veth: Veth, doing: str) -> None:
    check_mtu(veth.mtu, doing)
    _check_master(space, veth, link, doing)
    assert link.peer is not None
    peer_space, peer_index = link.peer
    peer = peer_space.links[peer_index]
    link.mtu = peer.mtu = veth.mtu
    link.alias, link.master, link.hairpin = veth.alias, veth.master, veth.hairpin
    link.mac, peer.mac = veth.mac or link.mac, veth.peer_mac
    space.bring_up(link)
    peer_space.bring_up(peer)
    _set_addr_gen_mode(space, veth)


def _check_master(space: FakeNamespace, veth: Veth, link: FakeLink | None, doing: str) -> None:
    if not veth.master or (link is not None and link.master == veth.master):
        return
    master = space.links.get(veth.master)
    if master is None:
        raise refuse(ENODEV, doing, "its bridge is gone; `duct repair` makes it again")
    if master.kind != "bridge":
        raise refuse(EOPNOTSUPP, doing)
    if sum(1 for port in space.links.values() if port.master == veth.master) >= BRIDGE_MAX_PORTS:
        raise refuse(EXFULL, doing)


def remove(space: FakeNamespace, item: Bridge | Veth) -> None:
    """Delete a link of ours; a stranger's with our name or index stays."""
    if _ours(space, item):
        space.remove_link(item.ifindex)


def _ours(space: FakeNamespace, item: Bridge | Veth) -> FakeLink | None:
    link = space.links.get(item.ifindex)
    return link if link is not None and link.alias == item.alias else None


def _require(space: FakeNamespace, item: Bridge | Veth, doing: str) -> FakeLink:
    link = _ours(space, item)
    if link is None:
        raise refuse(ENODEV, doing)
    return link


def _check_same_link(old: Bridge | Veth, new: Bridge | Veth, doing: str) -> None:
    if (old.name, old.ifindex) != (new.name, new.ifindex):
        raise refuse(EINVAL, doing, "a link keeps its name and index")
