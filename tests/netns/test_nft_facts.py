"""Facts about the kernel's nftables that our design rests on; each fails the day it stops being true."""

import errno
from collections.abc import Iterator

import pytest
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import SETS_ONLY, element, enter_of, listed

from ductwork.kernel.nft import NftSocket
from ductwork.kernel.nft.elements import codec, encode
from ductwork.kernel.nft.messages import DELSETELEM, NEWSETELEM, element_lists
from ductwork.kernel.nft.nfnetlink import CREATE, NetfilterSocket, Request
from ductwork.model.objects import HOST, Add, NftElement, Remove, Verdict


@pytest.fixture
def space(lab: Lab) -> Namespace:
    return lab.namespace("nft")


@pytest.fixture
def nft(space: Namespace) -> Iterator[NftSocket]:
    socket = NftSocket(HOST, enter_of(space))
    socket.load(SETS_ONLY)
    yield socket
    socket.close()


@pytest.fixture
def raw(space: Namespace) -> Iterator[NetfilterSocket]:
    socket = NetfilterSocket(enter_of(space))
    yield socket
    socket.close()


def _request(kind: int, flags: int, made: NftElement) -> Request:
    entry = encode(codec(made.set).wire(made), with_value=kind == NEWSETELEM)
    return next(element_lists(kind, flags, made.set, [entry]))[0]


def test_fact_deleting_a_missing_element_aborts_the_whole_transaction(
    space: Namespace, nft: NftSocket, raw: NetfilterSocket
) -> None:
    there, missing, fresh = element("bridges", "br0"), element("bridges", "br1"), element("bridges", "br2")
    nft.apply([Add(there)])
    refusals = raw.transact(
        [
            _request(NEWSETELEM, CREATE, fresh),
            _request(DELSETELEM, 0, missing),
            _request(DELSETELEM, 0, there),
        ]
    )
    assert [(refusal.place, refusal.errno) for refusal in refusals] == [(1, errno.ENOENT)]
    assert listed(space, "bridges") == {there}


def test_fact_changing_a_value_needs_delete_and_add(
    space: Namespace, nft: NftSocket, raw: NetfilterSocket
) -> None:
    old = element("publish_any4", 6, 8080, value=("10.0.0.2", 80))
    new = element("publish_any4", 6, 8080, value=("10.0.0.3", 80))
    nft.apply([Add(old)])
    (refusal,) = raw.transact([_request(NEWSETELEM, CREATE, new)])
    assert refusal.errno in {errno.EEXIST, errno.EBUSY}
    assert listed(space, "publish_any4") == {old}
    assert raw.transact([_request(DELSETELEM, 0, old), _request(NEWSETELEM, CREATE, new)]) == []
    assert listed(space, "publish_any4") == {new}


def test_fact_adding_an_equal_element_again_is_success(nft: NftSocket, raw: NetfilterSocket) -> None:
    for made in (
        element("publish_any4", 6, 8080, value=("10.0.0.2", 80)),
        element("publish_any_from4", 6, 8080, "10.0.0.0/8", value=("10.0.0.2", 80)),
        element("policies", "br0", value=Verdict("goto", "target")),
    ):
        for _ in range(2):
            assert raw.transact([_request(NEWSETELEM, CREATE, made)]) == []
        assert nft.elements(made.set) == [made]


@pytest.mark.parametrize(
    "name", ['a"b', "a}b", "eth*", "*", "{;}", "a b'c".replace(" ", "_"), "$x", "\\", "ü€"]
)
def test_fact_any_link_name_is_safe_with_our_codec(space: Namespace, nft: NftSocket, name: str) -> None:
    """Each of these would end, widen or break a text written for nft."""
    space.run("ip", "link", "add", name, "type", "bridge")  # the kernel itself allows it
    own, other = element("bridges", name), element("bridges", "eth0")
    nft.apply([Add(own), Add(other), Add(element("same", name, name))])
    nft.apply([Add(element("policies", name, value=Verdict("drop")))])
    assert set(nft.elements("bridges")) == {own, other}
    nft.apply([Remove(own)])
    assert nft.elements("bridges") == [other]
    assert nft.elements("policies") == [element("policies", name, value=Verdict("drop"))]


def test_fact_a_star_in_a_key_matches_only_that_name(lab: Lab) -> None:
    """In nft's language "eth*" is every link that begins with eth; in our keys it is one name."""
    host, outside = lab.host("h1"), lab.outside()
    nft = NftSocket(HOST, enter_of(host))
    nft.load(SETS_ONLY)
    host.run("nft", "add chain inet ductwork in { type filter hook input priority 0; }")
    host.run("nft", "add rule inet ductwork in iifname @bridges counter drop")
    nft.apply([Add(element("bridges", "eth*"))])
    assert outside.run("ping", "-c1", "-W1", str(host.address), check=False).returncode == 0
    nft.apply([Add(element("bridges", "eth0"))])
    assert outside.run("ping", "-c1", "-W1", str(host.address), check=False).returncode != 0
    nft.close()


WIDE = element("publish_any_from4", 6, 80, "10.0.0.0/8", value=("10.0.0.2", 80))
NARROW = element("publish_any_from4", 6, 80, "10.1.0.0/16", value=("10.0.0.2", 80))


def test_fact_a_range_inside_another_must_be_added_first(nft: NftSocket, raw: NetfilterSocket) -> None:
    narrow, wide = (_request(NEWSETELEM, CREATE, made) for made in (NARROW, WIDE))
    assert raw.transact([wide]) == []
    assert [refusal.errno for refusal in raw.transact([narrow])] == [errno.EEXIST]
    nft.apply([Remove(WIDE)])
    assert raw.transact([narrow]) == []
    assert raw.transact([wide]) == []


def test_fact_deleting_a_missing_range_takes_the_one_that_covers_it(
    space: Namespace, nft: NftSocket, raw: NetfilterSocket
) -> None:
    """The kernel looks up only the first key; this is why our removals from interval sets look before."""
    nft.apply([Add(WIDE)])
    nft.apply([Remove(NARROW)])
    assert listed(space, "publish_any_from4") == {WIDE}
    assert raw.transact([_request(DELSETELEM, 0, NARROW)]) == []
    assert listed(space, "publish_any_from4") == set()
