from __future__ import annotations

from ipaddress import ip_network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam.blocks import Block, assign, block_prefixlen, blocks_of, split

CIDR = ip_network("10.1.0.0/22")


def test_split_goes_in_order_and_one_at_a_time() -> None:
    assert [str(n) for n in split(CIDR, 24)] == [f"10.1.{i}.0/24" for i in range(4)]
    assert [str(n) for n in islice(split(ip_network("fd00::/64"), 120), 2)] == ["fd00::/120", "fd00::100/120"]
    assert list(split(CIDR, 22)) == [CIDR]
    for prefixlen in (21, 33):
        with pytest.raises(InvalidArgument, match=r"choose a block size from /22 to /32"):
            list(split(CIDR, prefixlen))


def test_every_host_gets_a_block_of_its_own_until_none_is_left() -> None:
    blocks: list[Block] = []
    for host in ("a", "b", "a", "c"):
        blocks.append(assign(CIDR, 24, blocks, host))
    assert [str(b.cidr) for b in blocks] == [f"10.1.{i}.0/24" for i in range(4)]
    assert [str(b.cidr) for b in blocks_of(list(reversed(blocks)), "a")] == ["10.1.0.0/24", "10.1.2.0/24"]
    with pytest.raises(Exhausted, match=r"no free block /24 left in 10.1.0.0/22: 3 hosts own all of it"):
        assign(CIDR, 24, blocks, "d")
    with pytest.raises(InvalidArgument):
        assign(CIDR, 16, blocks, "d")


def test_a_block_that_was_given_back_is_assigned_again() -> None:
    blocks = [assign(CIDR, 24, [], "a")]
    blocks.append(assign(CIDR, 25, blocks, "b"))
    assert assign(CIDR, 24, blocks[1:], "c").cidr == blocks[0].cidr


@given(st.integers(8, 30), st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), max_size=20))
def test_blocks_never_overlap_and_stay_inside(prefixlen: int, wishes: list[tuple[int, str]]) -> None:
    cidr = ip_network((0x0A000000, prefixlen))
    blocks: list[Block] = []
    for extra, host in wishes:
        try:
            blocks.append(assign(cidr, min(prefixlen + extra, 32), blocks, host))
        except Exhausted:
            break
    assert all(b.cidr.subnet_of(cidr) for b in blocks)  # type: ignore[arg-type]
    assert not any(a.cidr.overlaps(b.cidr) for i, a in enumerate(blocks) for b in blocks[:i])


@pytest.mark.parametrize(("hosts", "prefixlen"), [(0, 16), (1, 16), (2, 17), (3, 18), (256, 24), (257, 25)])
def test_blocks_are_as_large_as_the_number_of_hosts_allows(hosts: int, prefixlen: int) -> None:
    assert block_prefixlen(ip_network("10.1.0.0/16"), hosts) == prefixlen


def test_too_many_hosts() -> None:
    with pytest.raises(InvalidArgument, match="too small for 9 hosts"):
        block_prefixlen(ip_network("10.1.0.0/29"), 9)
