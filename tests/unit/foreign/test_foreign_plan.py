"""Where accepts of ours are planned, as a table of what other firewalls do."""

import pytest

from ductwork.errors import InvalidArgument
from ductwork.model.foreign import ForeignView, IptablesForward, NftForward
from ductwork.plan.foreign import plan_foreign, plan_warnings

DROP = IptablesForward("iptables", "DROP", drops=True)
DOCKER = IptablesForward("iptables", "DROP", drops=True, docker_user=True)
DOCKER6 = IptablesForward("ip6tables", "DROP", drops=True, docker_user=True)
LEGACY = IptablesForward("iptables-legacy", "DROP", drops=True)
REJECTS = IptablesForward("iptables", "ACCEPT", drops=True)
OPEN = IptablesForward("iptables", "ACCEPT", drops=False)
OPEN_DOCKER = IptablesForward("iptables", "ACCEPT", drops=False, docker_user=True)
NFT = NftForward("inet", "filter", "forward", drops=True)
NFT6 = NftForward("ip6", "mine", "fwd", drops=True)
NFT_OPEN = NftForward("inet", "filter", "forward", drops=False)
OWNED = NftForward("inet", "firewalld", "filter_FORWARD", drops=True, owned=True)

CASES = [
    ("nothing there", ForeignView(), {4, 6}, []),
    ("Docker", ForeignView((DOCKER,)), {4}, ["iptables filter DOCKER-USER"]),
    (
        "Docker with IPv6",
        ForeignView((DOCKER, DOCKER6)),
        {4, 6},
        ["iptables filter DOCKER-USER", "ip6tables filter DOCKER-USER"],
    ),
    ("a network without IPv6", ForeignView((DOCKER, DOCKER6)), {4}, ["iptables filter DOCKER-USER"]),
    ("a network without IPv4", ForeignView((DOCKER, DOCKER6)), {6}, ["ip6tables filter DOCKER-USER"]),
    ("a policy, as ufw sets it", ForeignView((DROP,)), {4}, ["iptables filter FORWARD"]),
    ("a last reject", ForeignView((REJECTS,)), {4}, ["iptables filter FORWARD"]),
    ("a host that lets all pass", ForeignView((OPEN,), (NFT_OPEN,)), {4, 6}, []),
    ("Docker on a host that forwarded before", ForeignView((OPEN_DOCKER,)), {4}, []),
    (
        "two backends",
        ForeignView((DOCKER, LEGACY)),
        {4},
        ["iptables filter DOCKER-USER", "iptables-legacy filter FORWARD"],
    ),
    ("plain nft", ForeignView(nft=(NFT,)), {4}, ["nft inet filter forward"]),
    ("plain nft of the other family", ForeignView(nft=(NFT6,)), {4}, []),
    ("plain nft, IPv6", ForeignView(nft=(NFT6,)), {4, 6}, ["nft ip6 mine fwd"]),
    ("a table nobody may change", ForeignView(nft=(OWNED,)), {4, 6}, []),
]


@pytest.mark.parametrize(("view", "families", "places"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_accepts_stand_where_something_drops(
    view: ForeignView, families: set[int], places: list[str]
) -> None:
    accepts = plan_foreign(view, "br7", "tag", families)
    assert [f"{a.firewall} {a.table} {a.chain} {a.direction}" for a in accepts] == [
        f"{place} {direction}" for place in places for direction in ("in", "out")
    ]
    assert {(a.dev, a.tag, a.ns) for a in accepts} <= {("br7", "tag", "host")}


@pytest.mark.parametrize("name", ["br+", "!br", "!"])
def test_a_name_that_iptables_takes_for_a_pattern_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="pattern"):
        plan_foreign(ForeignView((DROP,)), name, "tag", {4})
    assert plan_foreign(ForeignView((OPEN,)), name, "tag", {4}) == []
    assert len(plan_foreign(ForeignView(nft=(NFT,)), name, "tag", {4})) == 2


def test_an_owned_table_is_a_warning_until_its_owner_knows_the_bridge() -> None:
    (warning,) = plan_warnings(ForeignView(nft=(OWNED,)), "br7", {4})
    assert "inet firewalld filter_FORWARD" in warning.message
    assert warning.remedy.startswith("firewall-cmd --zone=trusted --add-interface=br7")
    knows = NftForward("inet", "firewalld", "filter_FORWARD", True, owned=True, known=frozenset({"br7"}))
    assert plan_warnings(ForeignView(nft=(knows,)), "br7", {4}) == []
    assert plan_warnings(ForeignView(nft=(NFT, NFT_OPEN)), "br7", {4}) == []


def test_an_owned_table_of_another_program_names_no_command_of_firewalld() -> None:
    other = NftForward("ip", "vpn", "fwd", drops=True, owned=True)
    (warning,) = plan_warnings(ForeignView(nft=(other,)), "br7", {4})
    assert "firewall-cmd" not in warning.remedy
    assert plan_warnings(ForeignView(nft=(other,)), "br7", {6}) == []


def test_a_backend_whose_tool_is_missing_is_a_warning() -> None:
    view = ForeignView(unread=("ip6tables-legacy",))
    (warning,) = plan_warnings(view, "br7", {4, 6})
    assert "ip6tables-legacy" in warning.message
    assert "iptables" in warning.remedy
    assert plan_warnings(view, "br7", {4}) == []
