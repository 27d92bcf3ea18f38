"""Kernel objects for the tests of plans, made by hypothesis from a small world so that they often clash."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from hypothesis import strategies as st

from ductwork.model.names import Mac
from ductwork.model.objects import (
    HOST,
    Address,
    Bridge,
    ForeignAccept,
    HostsEntries,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    NamespaceName,
    Neighbour,
    NftElement,
    NsKey,
    PinnedNamespace,
    Route,
    Ruleset,
    Sysctl,
    Veth,
)

BOX, OTHER = NsKey("sandbox/1"), NsKey("sandbox/2")
spaces = st.sampled_from([HOST, BOX, OTHER])
indexes = st.integers(5, 7)
macs = st.sampled_from([Mac("02:00:00:00:00:01"), Mac("02:00:00:00:00:02")])
addresses = st.sampled_from(["10.1.0.1", "10.1.0.2", "fd00::1"]).map(ip_address)
values = st.sampled_from(["0", "1"])

kernel_objects: st.SearchStrategy[KernelObject] = st.one_of(
    st.builds(PinnedNamespace, st.just(BOX), st.just("/n/1")),
    st.builds(PinnedNamespace, st.just(OTHER), st.just("/n/2")),
    st.builds(NamespaceName, st.just("/n/a"), st.sampled_from(["/proc/1", "/proc/2"])),
    st.builds(Sysctl, st.just(HOST), st.sampled_from(["net/a", "net/b"]), values, values),
    st.builds(Ruleset, st.just(HOST), st.just("me"), st.sampled_from(["old", "new"])),
    indexes.flatmap(
        lambda n: st.builds(
            Bridge,
            st.just(HOST),
            st.just(f"br{n}"),
            st.just(n),
            macs,
            st.sampled_from([1400, 1500]),
            st.just("ductwork:n"),
            st.booleans(),
            st.booleans(),
        )
    ),
    indexes.flatmap(
        lambda n: st.builds(
            Veth,
            st.just(HOST),
            st.just(f"v{n}"),
            st.just(n + 10),
            st.just("ductwork:e"),
            st.sampled_from([1400, 1500]),
            st.just(BOX if n % 2 else OTHER),
            st.just("eth0"),
            st.just(n + 20),
            macs,
            hairpin=st.booleans(),
        )
    ),
    st.builds(LinkUp, st.sampled_from([BOX, OTHER]), st.just("lo")),
    st.builds(Address, spaces, st.just("d"), indexes, addresses.map(ip_interface)),
    st.builds(Route, spaces, st.just(ip_network("0.0.0.0/0")), addresses, st.just("d"), indexes),
    st.builds(Neighbour, spaces, st.just("d"), indexes, addresses, macs),
    st.builds(LoopbackGuard, st.just(HOST), st.just("d"), indexes),
    st.builds(
        NftElement,
        st.just(HOST),
        st.just("publish_any4"),
        st.tuples(st.just(6), st.integers(80, 82)),
        st.tuples(addresses, st.just(80)),
    ),
    st.builds(HostsEntries, spaces, st.just("/n/1"), st.sampled_from([("a",), ("b",)])),
    st.builds(
        ForeignAccept,
        st.just(HOST),
        st.just("iptables"),
        st.just("filter"),
        st.just("FORWARD"),
        st.just("br5"),
        st.sampled_from(["in", "out"]),
        st.just("tag"),
    ),
)
worlds = st.lists(kernel_objects, max_size=25)
