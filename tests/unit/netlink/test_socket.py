"""Batches, refusals, dumps and lost answers, against a script instead of a kernel."""

import errno
from collections.abc import Iterable
from typing import cast

import pytest
from tests.unit.netlink.scripted import DONE, INTERRUPTED, Reply, ScriptedSocket, error, message

from ductwork.kernel.netlink import links
from ductwork.kernel.netlink.route import RouteSocket
from ductwork.kernel.netlink.socket import BATCH, NetlinkSocket, Refusal
from ductwork.kernel.netlink.tables import NEWLINK
from ductwork.kernel.netns import BoundNamespace, Opener
from ductwork.kernel.ports import KernelError
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, Add, Bridge, LinkUp, LoopbackGuard

UP = [links.set_up(index) for index in range(1, 4)]
REQUEST, ACK = 1, 4


def scripted(*script: Iterable[Reply | int]) -> tuple[NetlinkSocket, ScriptedSocket]:
    raw = ScriptedSocket(*script)
    return NetlinkSocket(raw), raw  # type: ignore[arg-type]


def port(*script: Iterable[Reply | int]) -> RouteSocket:
    space = BoundNamespace(-1, "", 0, scripted(*script)[0], cast(Opener, None))
    return RouteSocket(space, {HOST: space}.__getitem__)


def test_only_the_last_of_a_batch_is_acknowledged() -> None:
    sock, raw = scripted([lambda s: error(s[-1], 0)])
    assert sock.exchange(UP) == []
    assert [flags for _, flags in raw.sent[0]] == [REQUEST, REQUEST, REQUEST | ACK]


def test_refusals_come_with_the_kernels_words_and_the_attribute_at_fault() -> None:
    requests = [*UP[:1], links.move_to_group(5, 6), *UP[:1]]
    sock, _ = scripted(
        [
            lambda s: error(s[1], errno.EINVAL, "such groups there are none", 16 + 16),
            lambda s: error(s[2], errno.ENODEV),
        ]
    )
    first, second = sock.exchange(requests)
    assert first == Refusal(1, errno.EINVAL, "such groups there are none", "IFLA_GROUP")
    assert first.words() == "Invalid argument: such groups there are none (IFLA_GROUP)"
    assert (second.place, second.words()) == (2, "No such device")


def test_a_large_batch_goes_in_parts() -> None:
    def ack(s: list[int]) -> bytes:
        return error(s[-1], 0)

    sock, raw = scripted([ack], [lambda s: error(s[1], errno.ENODEV), ack], [ack])
    refusals = sock.exchange(UP[:1] * (2 * BATCH + 1))
    assert [len(sent) for sent in raw.sent] == [BATCH, BATCH, 1]
    assert [refusal.place for refusal in refusals] == [BATCH + 1]


def test_answers_to_an_exchange_that_was_given_up_are_left_out() -> None:
    sock, _ = scripted(
        [errno.ENOBUFS],
        [lambda s: error(s[0] - 1, errno.EPERM) + error(s[0] - 2, errno.EPERM), lambda s: error(s[-1], 0)],
    )
    with pytest.raises(OSError, match="No buffer space"):
        sock.exchange(UP)
    assert sock.exchange(UP) == []


def test_each_question_has_its_answer() -> None:
    body = bytes(16)
    sock, _ = scripted(
        [
            lambda s: message(NEWLINK, s[0], body),
            lambda s: error(s[1], errno.ENODEV) + message(NEWLINK, s[2], body),
        ]
    )
    one, two, three = sock.ask(UP)
    assert not isinstance(one, Refusal)
    assert not isinstance(three, Refusal)
    assert (bytes(one), bytes(three)) == (body, body)
    assert isinstance(two, Refusal)
    assert two.errno == errno.ENODEV


def test_a_dump_that_was_interrupted_is_read_again() -> None:
    def part(body: bytes, flags: int = 0) -> Reply:
        return lambda s: message(NEWLINK, s[0], body, flags)

    def done(s: list[int]) -> bytes:
        return message(DONE, s[0], bytes(4))

    sock, raw = scripted(
        [part(b"old1", INTERRUPTED), part(b"old2"), done],
        [part(b"new1"), lambda s: message(NEWLINK, s[0], b"new2") + done(s)],
    )
    assert sock.dump(links.DUMP, "reading") == [b"new1", b"new2"]
    assert len(raw.sent) == 2


def test_a_dump_that_never_stands_still_is_an_error() -> None:
    def done(s: list[int]) -> bytes:
        return message(DONE, s[0], bytes(4), INTERRUPTED)

    sock, _ = scripted(*([done] for _ in range(20)))
    with pytest.raises(KernelError, match="changed during each") as caught:
        sock.dump(links.DUMP, "reading links")
    assert caught.value.errno == errno.EINTR


@pytest.mark.parametrize("at_end", [False, True])
def test_a_refused_dump_is_an_error(at_end: bool) -> None:
    def refuse(s: list[int]) -> bytes:
        number = (-errno.EPERM).to_bytes(4, "little", signed=True)
        return message(DONE, s[0], number) if at_end else error(s[0], errno.EPERM)

    sock, _ = scripted([refuse])
    with pytest.raises(KernelError, match="reading links: Operation not permitted"):
        sock.dump(links.DUMP, "reading links")


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EAGAIN])
def test_a_lost_answer_makes_all_outcomes_unknown(number: int) -> None:
    bridge = Bridge(HOST, "b", 9, Mac("02:00:00:00:00:01"), 1500, "a", True, False)
    with pytest.raises(KernelError, match="unknown") as caught:
        port([number]).apply([Add(bridge), Add(LinkUp(HOST, "lo"))])
    assert caught.value.errno == number
    assert caught.value.doing == "adding bridge b and 1 more"


def test_a_kernel_without_the_filter_is_told_in_words() -> None:
    def refuse(s: list[int]) -> bytes:
        return error(s[1], errno.ENOENT, "TC classifier not found")

    (failure,) = port([refuse]).apply([Add(LoopbackGuard(HOST, "b", 9))])
    assert failure is not None
    assert failure.errno == errno.EOPNOTSUPP
    assert "lacks module sch_ingress or cls_bpf" in failure.text
    assert "TC classifier not found" in failure.text
