"""Which tool is run for which backend, and what its complaints become; the tools here are scripted."""

import errno
from collections.abc import Sequence

import pytest

from ductwork.errors import FailedPrecondition
from ductwork.kernel.foreign import apply_foreign, observe_foreign
from ductwork.kernel.iptables import Iptables
from ductwork.kernel.ports import KernelError, NftChainInfo
from ductwork.model.foreign import ForeignView
from ductwork.model.objects import HOST, Add, Bridge, ForeignAccept, Remove

FORWARD = NftChainInfo("ip", "filter", "FORWARD", "filter", "forward", 0, "drop")
NFT_DROPS = '{"nftables": [{"rule": {"handle": 3, "expr": [{"counter": {}}, {"drop": null}]}}]}'
ACCEPT = ForeignAccept(HOST, "iptables", "filter", "DOCKER-USER", "br7", "in", "t")


class Tools:
    """Tools that are installed, by name, each with its answers; the last one is repeated."""

    def __init__(self, **answers: list[tuple[int, str]]) -> None:
        self.answers = {name.replace("_", "-"): list(given) for name, given in answers.items()}
        self.ran: list[str] = []

    def __call__(self, argv: Sequence[str], _stdin: str = "", /) -> tuple[int, str]:
        self.ran.append(" ".join(argv))
        if argv[0] not in self.answers:
            raise FileNotFoundError(argv[0])
        if argv[1] == "--version":
            return 0, "iptables v1.8.9 (nf_tables)"
        given = self.answers[argv[0]]
        return given.pop(0) if len(given) > 1 else given[0]


def no_nft(text: str) -> str:
    raise AssertionError(f"nft was asked: {text}")


def test_the_exact_name_is_tried_first() -> None:
    tools = Tools(iptables_nft=[(0, "-P FORWARD DROP")], iptables=[(0, "")])
    view = observe_foreign([FORWARD], tools, no_nft, set)
    assert [forward.policy for forward in view.iptables] == ["DROP"]
    assert tools.ran == ["iptables-nft -w 5 -t filter -S"]


def test_the_plain_name_serves_when_it_is_the_right_backend() -> None:
    tools = Tools(iptables=[(0, "-P FORWARD DROP")])
    assert observe_foreign([FORWARD], tools, no_nft, set).iptables[0].drops
    with pytest.raises(FailedPrecondition, match="for this backend is not installed"):
        Iptables("iptables-legacy", tools).chains()


def test_exit_code_127_is_a_missing_tool_too() -> None:
    with pytest.raises(FailedPrecondition) as missing:
        Iptables("iptables", lambda _argv, _stdin="": (127, "")).chains()
    assert "package iptables" in missing.value.hint


def test_a_missing_tool_matters_only_where_something_drops() -> None:
    accepting = NftChainInfo("ip", "filter", "FORWARD", "filter", "forward", 0, "accept")
    assert not observe_foreign([accepting], Tools(), lambda _: '{"nftables": []}', set).iptables[0].drops
    with pytest.raises(FailedPrecondition):
        observe_foreign([accepting], Tools(), lambda _: NFT_DROPS, set)


def test_a_missing_legacy_tool_is_kept_as_unread() -> None:
    view = observe_foreign([], Tools(), no_nft, lambda: {"iptables-legacy"})
    assert view == ForeignView(unread=("iptables-legacy",))


def test_chains_that_do_not_forward_are_not_looked_at() -> None:
    chains = [
        NftChainInfo("inet", "ductwork", "forward", "filter", "forward", 0, "accept"),
        NftChainInfo("bridge", "filter", "FORWARD", "filter", "forward", 0, "drop"),
        NftChainInfo("inet", "filter", "input", "filter", "input", 0, "drop"),
        NftChainInfo("arp", "filter", "forward", "filter", "forward", 0, "drop"),
    ]
    tools = Tools()
    assert observe_foreign(chains, tools, no_nft, set) == ForeignView()
    assert tools.ran == []


def test_other_accepting_tables_of_iptables_cost_no_process() -> None:
    mangle = NftChainInfo("ip", "mangle", "FORWARD", "filter", "forward", -150, "accept")
    tools = Tools()
    assert not observe_foreign([mangle], tools, no_nft, set).iptables[0].drops
    assert tools.ran == []


@pytest.mark.parametrize(
    ("code", "text", "number"),
    [
        (
            4,
            "iptables: Could not fetch rule set generation id: Permission denied (you must be root)",
            errno.EPERM,
        ),
        (4, "Another app is currently holding the xtables lock; waited 5s", errno.EBUSY),
        (1, "something nobody foresaw", errno.EINVAL),
        (3, "", errno.EINVAL),
    ],
)
def test_complaints_become_kernel_errors(code: int, text: str, number: int) -> None:
    tools = Tools(iptables_nft=[(code, text)])
    for step in (Add(ACCEPT), Remove(ACCEPT)):
        with pytest.raises(KernelError, match="iptables chain filter DOCKER-USER") as refused:
            apply_foreign(step, tools, no_nft)
        assert refused.value.errno == number


def test_every_copy_is_removed_and_the_number_of_tries_is_bounded() -> None:
    gone = (1, "iptables: Bad rule (does a matching rule exist in that chain?).")
    tools = Tools(iptables_nft=[(0, ""), (0, ""), gone])
    apply_foreign(Remove(ACCEPT), tools, no_nft)
    assert len(tools.ran) == 3
    endless = Tools(iptables_nft=[(0, "")])
    apply_foreign(Remove(ACCEPT), endless, no_nft)
    assert len(endless.ran) < 20


def test_a_step_about_something_else_is_a_defect() -> None:
    bridge = Bridge(HOST, "br7", 7, "02:00:00:00:00:01", 1500, "", False, False)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        apply_foreign(Add(bridge), Tools(), no_nft)
