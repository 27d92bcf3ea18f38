"""Deleting tracked flows, judged by the conntrack tool and by who answers.

client ── router (DNAT 8080 → one server's port 80) ── two servers
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from tests.lab import Lab, Namespace, tcp_connect, tcp_hold, udp_ask, udp_echo
from tests.netns.nft_lab import enter_of

from ductwork.errors import InvalidArgument
from ductwork.kernel.conntrack import ConntrackSocket
from ductwork.kernel.nft.nfnetlink import NESTED, NetfilterSocket, Request, attribute
from ductwork.model.objects import FlowFilter

ROUTER = IPv4Address("10.1.0.1")
ROUTER6 = IPv6Address("fd01::1")
SERVER = IPv4Address("10.2.0.2")
SERVER6 = IPv6Address("fd02::2")
OTHER = IPv4Address("10.3.0.2")
TCP, UDP = 6, 17

# Without a rule that looks at it, a namespace tracks nothing.
_RULES = f"""table inet t {{
  chain track {{
    type filter hook prerouting priority 0
    ct state new counter
  }}
  chain nat {{
    type nat hook prerouting priority -100
    iifname n1 ip daddr {ROUTER} meta l4proto {{ tcp, udp }} th dport 8080 dnat ip to {SERVER}:80
    iifname n1 ip6 daddr {ROUTER6} meta l4proto {{ tcp, udp }} th dport 8080 dnat ip6 to [{SERVER6}]:80
  }}
}}"""


@dataclass(frozen=True)
class Place:
    """The three namespaces around the router whose flows are at stake."""

    router: Namespace
    client: Namespace
    server: Namespace
    other: Namespace

    def flows(self) -> set[str]:
        """List what the tool sees as "protocol destination port answerer", sorted out of its two families."""
        found = set()
        for family in ("ipv4", "ipv6"):
            for line in self.router.run("conntrack", "-L", "-f", family).stdout.splitlines():
                fields = re.findall(r"\b(src|dst|dport)=(\S+)", line)
                if len(fields) == 6:
                    (_, destination), (_, port), (_, answerer) = fields[1:4]
                    found.add(f"{line.split()[0]} {ip_address(destination)} {port} {ip_address(answerer)}")
        return found


def _wire(router: Namespace, space: Namespace, number: int) -> None:
    for end in (router, space):
        end.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
    router.ip_batch(
        f"link add n{number} type veth peer name eth0 netns {space.name}",
        f"addr add 10.{number}.0.1/24 dev n{number}",
        f"addr add fd0{number}::1/64 dev n{number} nodad",
        f"link set n{number} up",
    )
    space.ip_batch(
        f"addr add 10.{number}.0.2/24 dev eth0",
        f"addr add fd0{number}::2/64 dev eth0 nodad",
        "link set eth0 up",
        f"route add default via 10.{number}.0.1",
        f"route add ::/0 via fd0{number}::1",
    )


@pytest.fixture
def place(lab: Lab) -> Place:
    spaces = [lab.namespace(name) for name in ("router", "client", "server", "other")]
    made = Place(*spaces)
    for number, space in enumerate(spaces[1:], 1):
        _wire(made.router, space, number)
    made.router.set_sysctl("net/ipv4/ip_forward", 1)
    made.router.set_sysctl("net/ipv6/conf/all/forwarding", 1)
    made.router.run(
        "nft",
        "-f",
        "-",
        stdin=_RULES,
    )
    return made


@pytest.fixture(params=[True, False], ids=["kernel-filter", "read-and-delete"])
def conntrack(place: Place, request: pytest.FixtureRequest) -> Iterator[ConntrackSocket]:
    socket = ConntrackSocket(enter_of(place.router), kernel_filters=request.param)
    yield socket
    assert socket._kernel_filters == request.param
    socket.close()


@pytest.fixture
def flows(place: Place) -> set[str]:
    """Real flows of both protocols and families, with and without translation; all are tracked."""
    for port in (80, 53):
        udp_echo(place.server, port, bind="::")
    tcp_hold(place.server, 80, bind="::")
    udp_echo(place.other, 80)
    udp_echo(place.router, 5353, bind="::")
    for address, port in ((ROUTER, 8080), (ROUTER6, 8080), (SERVER, 53), (SERVER6, 53), (OTHER, 80)):
        assert udp_ask(place.client, address, port), address
    for address in (ROUTER, ROUTER6):
        assert udp_ask(place.client, address, 5353)
        with tcp_connect(place.client, address, 8080) as connection:
            assert connection.ask()
    expected = {
        f"tcp {ROUTER} 8080 {SERVER}",
        f"tcp {ROUTER6} 8080 {SERVER6}",
        f"udp {ROUTER} 8080 {SERVER}",
        f"udp {ROUTER6} 8080 {SERVER6}",
        f"udp {ROUTER} 5353 {ROUTER}",
        f"udp {ROUTER6} 5353 {ROUTER6}",
        f"udp {SERVER} 53 {SERVER}",
        f"udp {SERVER6} 53 {SERVER6}",
        f"udp {OTHER} 80 {OTHER}",
    }
    assert place.flows() == expected
    return expected


_CASES = {
    "tcp port": (FlowFilter(TCP, 8080), {f"tcp {ROUTER} 8080 {SERVER}"}),
    "udp port": (FlowFilter(UDP, 8080), {f"udp {ROUTER} 8080 {SERVER}"}),
    "udp port 6": (FlowFilter(UDP, 8080, version=6), {f"udp {ROUTER6} 8080 {SERVER6}"}),
    "destination and port": (FlowFilter(UDP, 8080, ROUTER), {f"udp {ROUTER} 8080 {SERVER}"}),
    "the answerer is no destination": (FlowFilter(UDP, 8080, SERVER), set()),
    "destination 6": (
        FlowFilter(UDP, None, ROUTER6, version=6),
        {f"udp {ROUTER6} 8080 {SERVER6}", f"udp {ROUTER6} 5353 {ROUTER6}"},
    ),
    "answerer": (
        FlowFilter(UDP, None, reply_src=SERVER),
        {f"udp {ROUTER} 8080 {SERVER}", f"udp {SERVER} 53 {SERVER}"},
    ),
    "answerer and port 6": (
        FlowFilter(UDP, 8080, reply_src=SERVER6, version=6),
        {f"udp {ROUTER6} 8080 {SERVER6}"},
    ),
    "another answerer": (FlowFilter(UDP, 8080, reply_src=OTHER), set()),
    "all fields": (FlowFilter(UDP, 8080, ROUTER, SERVER), {f"udp {ROUTER} 8080 {SERVER}"}),
    "translated spared": (FlowFilter(UDP, 8080, untranslated_only=True), set()),
    "untranslated": (FlowFilter(UDP, 5353, untranslated_only=True), {f"udp {ROUTER} 5353 {ROUTER}"}),
    "untranslated to": (
        FlowFilter(UDP, None, ROUTER, untranslated_only=True),
        {f"udp {ROUTER} 5353 {ROUTER}"},
    ),
    "nobody's protocol": (FlowFilter(132, None), set()),
}


@pytest.mark.parametrize(("flow", "gone"), _CASES.values(), ids=_CASES)
def test_exactly_the_described_flows_go(
    place: Place, conntrack: ConntrackSocket, flows: set[str], flow: FlowFilter, gone: set[str]
) -> None:
    conntrack.delete([flow])
    assert place.flows() == flows - gone
    conntrack.delete([flow])


def test_many_filters_at_once(place: Place, conntrack: ConntrackSocket, flows: set[str]) -> None:
    nobodies = [FlowFilter(UDP, port) for port in range(20_000, 20_250)]
    conntrack.delete([*nobodies, FlowFilter(TCP, 8080), FlowFilter(UDP, 53, version=6)])
    assert place.flows() == flows - {f"tcp {ROUTER} 8080 {SERVER}", f"udp {SERVER6} 53 {SERVER6}"}
    conntrack.delete([])
    conntrack.delete(
        [FlowFilter(UDP, None), FlowFilter(UDP, None, version=6), FlowFilter(TCP, None, version=6)]
    )
    assert place.flows() == set()


def test_fact_the_kernel_compares_ipv6_addresses_the_wrong_way_round(place: Place, flows: set[str]) -> None:
    """A deletion filtered by an IPv6 address would hit every flow but the meant one."""
    socket = NetfilterSocket(enter_of(place.router))

    def count(address: IPv4Address | IPv6Address) -> int:
        family, kind = (2, 2) if address.version == 4 else (10, 4)
        ip = attribute(1 | NESTED, attribute(kind, address.packed))
        by_destination = attribute(25 | NESTED, attribute(1, (1 << 1).to_bytes(4, sys.byteorder)))
        body = attribute(1 | NESTED, ip) + by_destination
        return len(socket.dump(Request(1 << 8 | 1, 0, family, body, version=1), "reading"))

    to_router, to_router6, six = (
        sum(1 for flow in flows if what in flow.split()[1]) for what in (str(ROUTER), str(ROUTER6), ":")
    )
    assert count(ROUTER) == to_router
    assert count(ROUTER6) == six - to_router6
    assert count(IPv6Address("::1")) == six
    socket.close()


def test_a_namespace_without_any_entries_is_success(lab: Lab) -> None:
    for filters in (True, False):
        socket = ConntrackSocket(enter_of(lab.namespace("empty")), kernel_filters=filters)
        socket.delete([FlowFilter(TCP, 80), FlowFilter(UDP, None, IPv6Address("::1"), version=6)])
        socket.close()


@pytest.mark.parametrize(
    "flow",
    [
        FlowFilter(TCP, 80, SERVER6),
        FlowFilter(TCP, 80, reply_src=SERVER, version=6),
        FlowFilter(TCP, 1, version=5),
    ],
)
def test_a_filter_of_mixed_families_is_refused(lab: Lab, flow: FlowFilter) -> None:
    socket = ConntrackSocket(enter_of(lab.namespace("empty")))
    with pytest.raises(InvalidArgument, match="flow filter"):
        socket.delete([flow])
    socket.close()


def test_fact_a_udp_flow_keeps_to_its_old_path_until_its_entry_is_deleted(
    place: Place, conntrack: ConntrackSocket
) -> None:
    """The reason for all this: a port published later than the client's first packet."""
    udp_echo(place.router, 9999, "router itself")
    udp_echo(place.server, 9999, "published")

    def ask() -> str:
        # One client port throughout, as a program that keeps its socket.
        script = (
            "import socket;s=socket.socket(2,2);s.bind(('',40000));s.settimeout(2);"
            f"s.sendto(b'x',('{ROUTER}',9999));print(s.recv(999).decode())"
        )
        return place.client.run("python3", "-ISc", script).stdout

    assert "router itself" in ask()
    place.router.run("nft", f"add rule inet t nat ip daddr {ROUTER} udp dport 9999 dnat ip to {SERVER}")
    assert "router itself" in ask()
    conntrack.delete([FlowFilter(UDP, 9999, untranslated_only=True)])
    assert "published" in ask()
    conntrack.delete([FlowFilter(UDP, 9999, untranslated_only=True)])
    assert place.flows() == {f"udp {ROUTER} 9999 {SERVER}"}
