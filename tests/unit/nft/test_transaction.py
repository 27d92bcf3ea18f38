"""Steps folded into messages: which are sent, in which order, and what a look at the sets changes."""

import errno
from ipaddress import IPv4Address

import pytest

from ductwork.errors import InvalidArgument
from ductwork.kernel.nft.elements import WireElement, codec
from ductwork.kernel.nft.messages import DELSETELEM, NEWSETELEM
from ductwork.kernel.nft.nfnetlink import CREATE, EXCL, Refusal
from ductwork.kernel.nft.transaction import Transaction
from ductwork.model.objects import HOST, Add, Change, LinkUp, NftElement, Remove, Step


def _port(number: int, to: int = 80) -> NftElement:
    return NftElement(HOST, "publish_any4", (6, number), (IPv4Address("10.0.0.2"), to))


def _bridge(name: str) -> NftElement:
    return NftElement(HOST, "bridges", (name,))


def _messages(transaction: Transaction) -> list[tuple[str, int, str, list[NftElement]]]:
    words = {NEWSETELEM: "new", DELSETELEM: "del"}
    return [
        (words[part.request.kind], part.request.flags, part.set_name, [i.element for i in part.intents])
        for part in transaction.parts()
    ]


def _existing(*elements: NftElement) -> dict[tuple[bytes, bytes], WireElement]:
    wires = [codec(element.set).wire(element) for element in elements]
    return {(wire.key, wire.end): wire for wire in wires}


@pytest.mark.parametrize(
    ("steps", "messages"),
    [
        ([], []),
        ([Add(_port(1))], [("new", CREATE | EXCL, "publish_any4", [_port(1)])]),
        ([Add(_port(1), tolerant=True)], [("new", CREATE, "publish_any4", [_port(1)])]),
        ([Remove(_port(1))], [("del", 0, "publish_any4", [_port(1)])]),
        (
            [Change(_port(1), _port(1, 81))],
            [("del", 0, "publish_any4", [_port(1, 81)]), ("new", CREATE, "publish_any4", [_port(1, 81)])],
        ),
        (
            [Change(_port(1), _port(2))],
            [("del", 0, "publish_any4", [_port(1)]), ("new", CREATE, "publish_any4", [_port(2)])],
        ),
        (
            [Remove(_port(1)), Add(_port(1, 81))],
            [
                ("del", 0, "publish_any4", [_port(1, 81)]),
                ("new", CREATE | EXCL, "publish_any4", [_port(1, 81)]),
            ],
        ),
        ([Add(_port(1)), Remove(_port(1))], [("del", 0, "publish_any4", [_port(1)])]),
        (
            [Add(_bridge("a")), Add(_port(1)), Add(_bridge("b")), Remove(_bridge("c")), Add(_port(2))],
            [
                ("del", 0, "bridges", [_bridge("c")]),
                ("new", CREATE | EXCL, "bridges", [_bridge("a"), _bridge("b")]),
                ("new", CREATE | EXCL, "publish_any4", [_port(1), _port(2)]),
            ],
        ),
    ],
)
def test_steps_become_deletions_then_additions_grouped_by_set(
    steps: list[Step], messages: list[tuple[str, int, str, list[NftElement]]]
) -> None:
    assert _messages(Transaction(steps)) == messages


def test_what_is_missing_is_left_out_after_a_look() -> None:
    transaction = Transaction([Remove(_port(1)), Remove(_port(2)), Change(_port(3), _port(3, 81))])
    assert transaction.adjust("publish_any4", _existing(_port(2)))
    assert _messages(transaction) == [
        ("del", 0, "publish_any4", [_port(2)]),
        ("new", CREATE, "publish_any4", [_port(3, 81)]),
    ]
    assert not transaction.adjust("publish_any4", _existing(_port(2)))


def test_another_value_is_replaced_and_an_equal_one_is_left_alone_after_a_look() -> None:
    transaction = Transaction([Add(_port(1), tolerant=True), Add(_port(2), tolerant=True)])
    assert transaction.adjust("publish_any4", _existing(_port(1, 99), _port(2)))
    assert _messages(transaction) == [
        ("del", 0, "publish_any4", [_port(1)]),
        ("new", CREATE, "publish_any4", [_port(1), _port(2)]),
    ]


@pytest.mark.parametrize(
    ("step", "code", "explained"),
    [
        (Remove(_port(1)), errno.ENOENT, True),
        (Remove(_port(1)), errno.EPERM, False),
        (Add(_port(1)), errno.EEXIST, False),
        (Add(_port(1)), errno.ENOENT, False),
        (Add(_port(1), tolerant=True), errno.EEXIST, True),
        (Add(_port(1), tolerant=True), errno.EBUSY, True),
        (Add(_port(1), tolerant=True), errno.ENOENT, False),
    ],
)
def test_only_some_refusals_deserve_a_look(step: Step, code: int, explained: bool) -> None:
    (part,) = Transaction([step]).parts()
    assert part.may_adjust(Refusal(0, code, "", 0)) == explained


def test_a_step_about_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="LinkUp is none"):
        Transaction([Add(LinkUp(HOST, "lo"))])
