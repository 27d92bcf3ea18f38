"""The small plans: names, default gateway, hosts file, published ports, stale flows, the constant rules."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.model.endpoint import Endpoint, Link
from ductwork.model.names import Mac, parse_ifname, parse_mac
from ductwork.model.network import Network, Subnet
from ductwork.model.nft_schema import SCHEMAS
from ductwork.model.objects import HOST, Add, Change, FlowFilter, NftElement, Remove
from ductwork.model.port_mapping import PortMapping, Protocol
from ductwork.plan import names
from ductwork.plan.canonical import canonical_element
from ductwork.plan.describe import with_names
from ductwork.plan.flows import stale_flows
from ductwork.plan.gateway import elect_gateway
from ductwork.plan.hosts_file import plan_hosts_lines
from ductwork.plan.publish import plan_published_ports
from ductwork.plan.ruleset import render_ruleset

TCP, UDP = Protocol.TCP, Protocol.UDP
FOUR, SIX = ip_address("10.1.0.2"), ip_address("fd00:1::2")


def endpoint(number: int, network: Network, *addresses: str, priority: int = 0) -> Endpoint:
    return Endpoint(
        f"e{number}",
        network.id,
        "s",
        number,
        number,
        f"dv-{number}",
        f"eth{number}",
        Mac("02:00:00:00:00:01"),
        tuple(map(ip_interface, addresses)),
        gateway_priority=priority,
    )


def network(name: str, third: int, *, internal: bool = False) -> Network:
    cidr = ip_network(f"10.{third}.0.0/24")
    return Network(f"n-{name}", name, "bridge", third, (Subnet(cidr, cidr[1]),), internal=internal)


class TestNames:
    @given(st.text(min_size=1, max_size=80))
    def test_every_identity_gives_a_legal_name(self, identity: str) -> None:
        for name in (names.bridge_ifname(identity), names.host_ifname(identity)):
            assert parse_ifname(name) == name and len(name) == 13
        for mac in (names.bridge_mac(identity), names.endpoint_mac("h", identity, "s")):
            assert parse_mac(mac) == mac and mac.startswith("02:")

    def test_parts_of_an_identity_do_not_run_together(self) -> None:
        assert names.endpoint_mac("h", "ab", "c") != names.endpoint_mac("h", "a", "bc")

    def test_indexes_tell_what_they_are(self) -> None:
        for slot in (0, names.SLOTS - 1):
            three = names.bridge_ifindex(slot), names.outer_ifindex(slot), names.inner_ifindex(slot)
            assert [index // 10_000_000 for index in three] == [1, 2, 3]
            assert max(three) < 2**31

    def test_the_lowest_free_name(self) -> None:
        assert names.free_ifname(set()) == "eth0"
        assert names.free_ifname({"eth0", "eth2", "lo"}) == "eth1"


class TestGateway:
    A, B, INNER = network("a", 1), network("b", 2), network("aa", 3, internal=True)

    @pytest.mark.parametrize(
        ("priorities", "winner"), [((0, 0), "a"), ((0, 1), "b"), ((-1, 0), "b"), ((5, 5), "a")]
    )
    def test_priority_then_name(self, priorities: tuple[int, int], winner: str) -> None:
        pairs = [
            (endpoint(1, self.A, "10.1.0.2/24", priority=priorities[0]), self.A),
            (endpoint(2, self.B, "10.2.0.2/24", priority=priorities[1]), self.B),
        ]
        for order in (pairs, pairs[::-1]):
            elected = elect_gateway(order, 4)
            assert elected is not None and elected[0].network_id == f"n-{winner}"

    def test_who_cannot_win(self) -> None:
        assert elect_gateway([(endpoint(1, self.INNER, "10.3.0.2/24", priority=9), self.INNER)], 4) is None
        assert elect_gateway([(endpoint(1, self.A, "10.1.0.2/24"), self.A)], 6) is None
        cable = replace(self.A, subnets=(Subnet(ip_network("10.1.0.0/24")),))
        assert elect_gateway([(endpoint(1, cable, "10.1.0.2/24"), cable)], 4) is None

    def test_the_gateway_is_of_the_subnet_the_address_is_in(self) -> None:
        second = Subnet(ip_network("10.9.0.0/24"), ip_address("10.9.0.1"))
        both = replace(self.A, subnets=(*self.A.subnets, second))
        elected = elect_gateway([(endpoint(1, both, "10.9.0.2/24"), both)], 4)
        assert elected is not None and elected[1] == ip_address("10.9.0.1")


class TestHostsFile:
    A, B = network("a", 1), network("b", 2)

    def test_itself_and_whom_it_knows(self) -> None:
        me = [replace(endpoint(1, self.A, "10.1.0.2/24", "fd00::2/64"), aliases=("www", "me"))]
        other = [endpoint(2, self.A, "10.1.0.3/24"), endpoint(3, self.B, "10.2.0.3/24")]
        lines = plan_hosts_lines("me", me, [(Link("x", "zdb"), "db", other), (Link("x", "adb"), "db", other)])
        assert lines == [
            "10.1.0.2\tme www",
            "fd00::2\tme www",
            "10.1.0.3\tadb db",
            "10.1.0.3\tzdb db",
        ]

    def test_without_a_network_in_common_all_addresses_count(self) -> None:
        other = [endpoint(3, self.B, "10.2.0.3/24")]
        assert plan_hosts_lines("me", [], [(Link("x", "db"), "db", other)]) == ["10.2.0.3\tdb"]

    def test_nothing_to_say(self) -> None:
        assert plan_hosts_lines("me", [], []) == []


class TestPublish:
    @pytest.mark.parametrize(
        ("host_ip", "expected"),
        [
            (None, [("publish_any4", (6, 8080)), ("publish_any6", (6, 8080))]),
            ("192.0.2.1", [("publish4", (6, ip_address("192.0.2.1"), 8080))]),
            ("127.0.0.1", [("publish4", (6, ip_address("127.0.0.1"), 8080))]),
            ("2001:db8::1", [("publish6", (6, ip_address("2001:db8::1"), 8080))]),
            ("0.0.0.0", [("publish_any4", (6, 8080))]),
            ("::", [("publish_any6", (6, 8080))]),
        ],
    )
    def test_where_it_is_looked_up(self, host_ip: str | None, expected: list[tuple[str, object]]) -> None:
        mapping = PortMapping(TCP, ip_address(host_ip) if host_ip else None, 8080, 80)
        elements = plan_published_ports([mapping], [FOUR, SIX])
        assert [(e.set, e.key) for e in elements] == expected
        assert [e.value for e in elements] == [(FOUR if e.set.endswith("4") else SIX, 80) for e in elements]

    def test_sources_are_collapsed_and_of_one_family(self) -> None:
        sources = ("10.0.0.0/25", "10.0.0.128/25", "10.0.0.0/26", "fd00::/64")
        mapping = PortMapping(UDP, None, 53, 53, tuple(map(ip_network, sources)))
        elements = plan_published_ports([mapping], [FOUR, SIX])
        assert [(e.set, e.key[-1]) for e in elements] == [
            ("publish_any_from4", ip_network("10.0.0.0/24")),
            ("publish_any_from6", ip_network("fd00::/64")),
        ]

    def test_the_first_address_of_a_family_answers(self) -> None:
        (element,) = plan_published_ports([PortMapping(TCP, None, 1, 1)], [FOUR, ip_address("10.1.0.9")])
        assert element.value == (FOUR, 1)

    def test_no_address_of_the_family(self) -> None:
        assert plan_published_ports([PortMapping(TCP, ip_address("::"), 1, 1)], [FOUR]) == []

    @given(st.permutations([PortMapping(TCP, None, n, n) for n in (1, 2, 3)]))
    def test_equal_ports_give_equal_elements(self, ports: list[PortMapping]) -> None:
        assert set(plan_published_ports(ports, [FOUR])) == set(
            plan_published_ports(sorted(ports, key=str), [FOUR])
        )


class TestFlows:
    UDP_ANY = NftElement(HOST, "publish_any4", (17, 53), (FOUR, 5353))
    TCP_ONE = NftElement(HOST, "publish4", (6, ip_address("192.0.2.1"), 80), (FOUR, 80))
    LIMITED = NftElement(HOST, "publish_from6", (132, SIX, 80, ip_network("::/0")), (SIX, 81))

    def test_a_new_mapping_ends_what_bypasses_it(self) -> None:
        assert stale_flows([Add(self.UDP_ANY)]) == [FlowFilter(17, 53, None, None, 4, untranslated_only=True)]
        assert stale_flows([Add(self.TCP_ONE)]) == [], "such a TCP flow does not last"

    def test_a_mapping_that_goes_ends_what_uses_it(self) -> None:
        assert stale_flows([Remove(self.TCP_ONE), Remove(self.LIMITED)]) == [
            FlowFilter(6, 80, ip_address("192.0.2.1"), FOUR, 4),
            FlowFilter(132, 80, SIX, SIX, 6),
        ]

    def test_a_changed_mapping_ends_both(self) -> None:
        other = replace(self.UDP_ANY, value=(ip_address("10.1.0.9"), 5353))
        assert [f.reply_src for f in stale_flows([Change(self.UDP_ANY, other)])] == [FOUR, None]

    def test_other_sets_end_nothing(self) -> None:
        assert (
            stale_flows([Add(NftElement(HOST, "masq", ("br",))), Remove(NftElement(HOST, "masq", ("br",)))])
            == []
        )


class TestRuleset:
    def test_it_is_the_same_on_every_host_but_for_the_name(self) -> None:
        one, two = render_ruleset("one"), render_ruleset("two")
        assert one.replace("one", "two", 1) == two

    def test_every_set_is_declared_and_used(self) -> None:
        text = render_ruleset("x")
        for schema in SCHEMAS:
            assert len(re.findall(rf"^  (?:set|map) {schema.name} \{{", text, re.M)) == 1
            assert f"@{schema.name}" in text, f"no rule reads {schema.name}"

    def test_every_chain_that_is_jumped_to_exists(self) -> None:
        text = render_ruleset("x")
        chains = set(re.findall(r"chain (\w+) \{", text))
        assert set(re.findall(r"(?:jump|goto) (\w+)", text)) <= chains

    def test_braces_match_and_no_interface_is_named_by_index(self) -> None:
        text = render_ruleset("x")
        assert text.count("{") == text.count("}")
        assert not re.search(r"\b[io]if \b", text)
        assert "policy drop" not in text


def test_one_address_is_the_same_as_its_interval() -> None:
    wide = NftElement(HOST, "s", (6, ip_network("10.0.0.1/32"), ip_network("10.0.0.0/24")), None)
    assert canonical_element(wide).key == (6, ip_address("10.0.0.1"), ip_network("10.0.0.0/24"))


def test_names_for_keys() -> None:
    assert with_names("+ x in sandbox/1", {"sandbox/1": "web"}) == "+ x in web"
