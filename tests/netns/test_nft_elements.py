"""NftSocket.apply on the real kernel: what it tolerates, what it refuses, and that it is all or nothing."""

import errno
import subprocess
import threading
from collections.abc import Iterator

import pytest
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import SETS_ONLY, add_by_nft, element, enter_of, listed

from ductwork.errors import InvalidArgument
from ductwork.kernel.nft import NftSocket
from ductwork.kernel.nft.nfnetlink import NetfilterSocket, Request, attributes
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import HOST, Add, Change, NftElement, Remove, Step, Verdict


@pytest.fixture
def space(lab: Lab) -> Namespace:
    return lab.namespace("nft")


@pytest.fixture
def nft(space: Namespace) -> Iterator[NftSocket]:
    socket = NftSocket(HOST, enter_of(space))
    socket.load(SETS_ONLY)
    yield socket
    socket.close()


def _port(number: int, to: int = 80) -> NftElement:
    return element("publish_any4", 6, number, value=("10.0.0.2", to))


def _source(network: str, to: int = 80) -> NftElement:
    return element("publish_from4", 6, "192.0.2.1", 8080, network, value=("10.0.0.2", to))


def test_steps_on_several_sets_are_one_transaction(space: Namespace, nft: NftSocket) -> None:
    before = _generation(space)
    nft.apply([Add(element("bridges", "br0")), Add(_port(1)), Add(_source("10.0.0.0/8")), Remove(_port(9))])
    assert _generation(space) == before + 1
    assert listed(space, "bridges") == {element("bridges", "br0")}
    assert listed(space, "publish_any4") == {_port(1)}
    assert listed(space, "publish_from4") == {_source("10.0.0.0/8")}


def _generation(space: Namespace) -> int:
    """Read the number of transactions the namespace has seen (NFT_MSG_GETGEN)."""
    socket = NetfilterSocket(enter_of(space))
    answers, _ = socket.ask([Request(10 << 8 | 16, 0, 0, b"")])
    socket.close()
    return int.from_bytes(attributes(answers[0].body)[1], "big")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_port(80, 1), _port(80, 2)),
        (_source("10.0.0.0/8", 1), _source("10.0.0.0/8", 2)),
        (element("source4", "br0", value=("10.0.0.1",)), element("source4", "br0", value=("10.0.0.2",))),
        (
            element("policies", "br0", value=Verdict("accept")),
            element("policies", "br0", value=Verdict("jump", "target")),
        ),
    ],
    ids=lambda made: made.set,
)
def test_an_element_goes_through_its_whole_life(
    space: Namespace, nft: NftSocket, before: NftElement, after: NftElement
) -> None:
    transitions: list[tuple[list[Step], set[NftElement]]] = [
        ([Add(before)], {before}),
        ([Add(before, tolerant=True)], {before}),
        ([Add(after, tolerant=True)], {after}),
        ([Change(after, before)], {before}),
        ([Change(before, before)], {before}),
        ([Remove(after)], set()),  # whose value we misremember
        ([Remove(before)], set()),
        ([Change(before, after)], {after}),  # and what to change is gone
        ([Remove(after), Add(before)], {before}),
        ([Add(after, tolerant=True), Remove(after)], set()),
    ]
    for number, (steps, expected) in enumerate(transitions):
        nft.apply(steps)
        assert listed(space, before.set) == expected, f"transition {number}"


@pytest.mark.parametrize("made", [_port(80), _source("10.0.0.0/8"), element("bridges", "br0")])
def test_a_strict_add_of_what_exists_is_refused_and_changes_nothing(
    space: Namespace, nft: NftSocket, made: NftElement
) -> None:
    nft.apply([Add(made)])
    fresh = [element("bridges", f"new{n}") for n in range(5)]
    with pytest.raises(KernelError, match="exists already") as refused:
        nft.apply([*(Add(one) for one in fresh), Add(made), Remove(element("bridges", "gone"))])
    assert refused.value.errno == errno.EEXIST
    assert str(made.key[-1]) in refused.value.doing
    assert made.set in refused.value.doing
    assert listed(space, made.set) == {made}
    assert listed(space, "bridges") == ({made} if made.set == "bridges" else set())


@pytest.mark.parametrize("missing", [1, 5, 100])
def test_removing_some_that_are_gone_removes_the_others(
    space: Namespace, nft: NftSocket, missing: int
) -> None:
    for make in (_port, lambda n: _source(f"10.{n >> 8}.{n & 255}.0/24")):
        there = [make(n) for n in range(1, 21)]
        gone = [make(n) for n in range(1000, 1000 + missing)]
        nft.apply([Add(made) for made in there])
        nft.apply([Remove(made) for made in (*gone, *there[:10])])
        assert listed(space, there[0].set) == set(there[10:])
        nft.apply([Remove(made) for made in gone])


def test_an_overlapping_range_is_refused_in_words(nft: NftSocket) -> None:
    nft.apply([Add(_source("10.0.0.0/8"))])
    for tolerant in (False, True):
        with pytest.raises(KernelError, match="or a range that overlaps it"):
            nft.apply([Add(_source("10.1.0.0/16"), tolerant)])


def test_what_exceeds_one_message_is_still_one_transaction(space: Namespace, nft: NftSocket) -> None:
    many = [_port(number) for number in range(1, 20_001)]
    nft.apply([Add(made) for made in many])
    assert set(nft.elements("publish_any4")) == set(many)
    more = [element("bridges", f"br{number}") for number in range(5000)]
    with pytest.raises(KernelError, match=r"adding 6 \. 20000 in nft set publish_any4: it exists already"):
        nft.apply([Add(made) for made in (*more, many[-1])])
    assert nft.elements("bridges") == []
    space.run("nft", "delete element inet ductwork publish_any4 { tcp . 77, tcp . 15000 }")
    nft.apply([Remove(made) for made in many])
    assert nft.elements("publish_any4") == []


def test_a_flushed_ruleset_is_told_in_words(space: Namespace, nft: NftSocket) -> None:
    space.run("nft", "flush ruleset")
    for steps in ([Add(_port(1))], [Add(_port(1), tolerant=True)], [Change(_port(1), _port(1, 2))]):
        with pytest.raises(KernelError, match="our nft table is gone") as refused:
            nft.apply(steps)
        assert refused.value.errno == errno.ENOENT
    with pytest.raises(KernelError, match="our nft table is gone"):
        nft.elements("bridges")
    nft.apply([Remove(_port(1)), Remove(_source("10.0.0.0/8"))])
    nft.load(SETS_ONLY)
    nft.apply([Add(_port(1))])
    assert listed(space, "publish_any4") == {_port(1)}


def test_a_missing_chain_or_set_is_not_taken_for_a_flush(space: Namespace, nft: NftSocket) -> None:
    with pytest.raises(KernelError, match="or a chain its elements name, is missing"):
        nft.apply([Add(element("policies", "br0", value=Verdict("jump", "nosuch")))])
    space.run("nft", "delete set inet ductwork open")
    with pytest.raises(KernelError, match="set open, or a chain"):
        nft.apply([Add(element("open", "br0"))])


def test_a_step_on_a_set_of_nobody_changes_nothing(space: Namespace, nft: NftSocket) -> None:
    with pytest.raises(InvalidArgument, match="not one of ours"):
        nft.apply([Add(_port(1)), Add(NftElement(HOST, "nosuch", ("a",)))])
    assert listed(space, "publish_any4") == set()


def test_no_steps_are_no_transaction(nft: NftSocket) -> None:
    nft.apply([])


def test_a_range_somebody_typed_is_reported_with_where_to_look(space: Namespace, nft: NftSocket) -> None:
    space.run("nft", "add element inet ductwork hairpin4 { 10.0.0.1-10.0.0.5 . 10.0.0.0/24 }")
    with pytest.raises(KernelError, match=r"10\.0\.0\.1 to 10\.0\.0\.5.*nft list set inet ductwork hairpin4"):
        nft.elements("hairpin4")


def test_many_threads_may_use_one_socket(nft: NftSocket) -> None:
    def work(first: int) -> None:
        try:
            for number in range(first, first + 50):
                nft.apply([Add(_port(number))])
                nft.apply([Remove(_port(number + 30_000)), Change(_port(number), _port(number, 81))])
                nft.elements("bridges")
        except KernelError as error:
            failures.append(error)

    failures: list[KernelError] = []
    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 101, 201, 301)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(nft.elements("publish_any4")) == 200


def test_reading_goes_on_while_another_program_changes_the_set(space: Namespace, nft: NftSocket) -> None:
    """A reading that was overtaken is repeated, never returned in parts."""
    many = [_port(number) for number in range(1, 5001)]
    nft.apply([Add(made) for made in many])
    script = "for i in $(seq 40); do nft add element inet ductwork bridges { x$i }; done"
    with subprocess.Popen(space.command("sh", "-c", script)) as other:
        readings = 0
        while other.poll() is None:
            assert set(nft.elements("publish_any4")) == set(many)
            readings += 1
    assert readings > 0
    assert len(listed(space, "bridges")) == 40


def test_what_nft_added_can_be_removed(space: Namespace, nft: NftSocket) -> None:
    made = [_source("10.0.0.0/8"), _source("192.168.0.0/16"), _source("172.16.0.0/12")]
    add_by_nft(space, made)
    nft.apply([Remove(made[1])])
    assert listed(space, "publish_from4") == {made[0], made[2]}
