from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.kernel.hosts_block import BEGIN, END, replace_block

LINE = "10.1.0.2\tweb"
BLOCK = b"# begin ductwork\n10.1.0.2\tweb\n# end ductwork"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", BLOCK + b"\n"),
        (b"127.0.0.1 localhost\n", b"127.0.0.1 localhost\n" + BLOCK + b"\n"),
        (b"127.0.0.1 localhost", b"127.0.0.1 localhost\n" + BLOCK),
        (b"\n", b"\n" + BLOCK + b"\n"),
        (b"\xff\0\r\n", b"\xff\0\r\n" + BLOCK + b"\n"),
    ],
)
def test_a_block_comes_at_the_end_and_goes_without_a_trace(before: bytes, after: bytes) -> None:
    assert replace_block(before, [LINE]) == after
    assert replace_block(after, []) == before
    assert replace_block(after, [LINE]) == after


@pytest.mark.parametrize(
    ("content", "without"),
    [
        (b"a\n" + BLOCK + b"\nb\n", b"a\nb\n"),
        (b"a\n" + BLOCK + b"\nb", b"a\nb"),
        (BLOCK + b"\nb\n", b"b\n"),
        (BLOCK, b""),
        # somebody appended to a file that had no line's end
        (b"a\n" + BLOCK + b"10.9.9.9 theirs\n", b"a\n10.9.9.9 theirs\n"),
        # twice
        (b"a\n" + BLOCK + b"\nb\n" + BLOCK + b"\nc\n", b"a\nb\nc\n"),
        # a marker without its other half is no block
        (b"a\n# begin ductwork\nb\n", b"a\n# begin ductwork\nb\n"),
        (b"a\n# end ductwork\nb\n", b"a\n# end ductwork\nb\n"),
        (b"# begin ductwork\ntheirs\n" + BLOCK + b"\nb\n", b"# begin ductwork\ntheirs\nb\n"),
        (b"x # begin ductwork\nb\n# end ductwork\n", b"x # begin ductwork\nb\n# end ductwork\n"),
    ],
)
def test_only_whole_blocks_are_taken_away(content: bytes, without: bytes) -> None:
    assert replace_block(content, []) == without


def test_a_block_keeps_its_place() -> None:
    content = b"a\n" + BLOCK + b"\nb"
    new = replace_block(content, ["10.1.0.9\tdb", "fd00::9\tdb"])
    assert new == b"a\n# begin ductwork\n10.1.0.9\tdb\nfd00::9\tdb\n# end ductwork\nb"


LINES = st.lists(st.sampled_from(["10.1.0.2\tweb", "fd00::2\tweb db", "é"]), min_size=1, max_size=3)
CONTENT = st.lists(
    st.sampled_from(
        [b"a", b"\n", b"\r\n", b"# begin ductwork", b"10.0.0.1 x\n", b"\xff", b"# begin ductwork\n"]
    )
).map(b"".join)


@given(CONTENT, LINES, LINES)
def test_what_was_there_is_restored_byte_for_byte(
    content: bytes, first: list[str], second: list[str]
) -> None:
    with_block = replace_block(content, first)
    assert replace_block(with_block, first) == with_block
    changed = replace_block(with_block, second)
    assert b"\n".join([BEGIN, *(line.encode() for line in second), END]) in changed
    assert replace_block(changed, []) == content


@given(st.lists(st.sampled_from([b"a\n", b"b", BEGIN, END, BLOCK, b"\n"])).map(b"".join), LINES)
def test_nothing_ends_in_a_loop_and_one_block_is_left(content: bytes, lines: list[str]) -> None:
    bare = replace_block(content, [])
    assert replace_block(bare, []) == bare
    again = replace_block(content, lines)
    assert replace_block(again, lines) == again
