"""What every store can do, and the rules that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeAlias

from ductwork.errors import Internal, Unavailable

ABSENT = 0  # the revision of a key that does not exist


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value; `revision` is the store's revision of the commit that wrote it last."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value, whatever is there; with `expect` only while the key has that revision (0: is absent)."""

    key: str
    value: bytes
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a key away; one that is gone already is success unless `expect` says otherwise."""

    key: str
    expect: int | None = None


StoreChange: TypeAlias = Put | Delete


class StoreConflict(Unavailable):
    """Somebody else changed a key between our read and our write: read again and decide again."""

    def __init__(self, key: str, expected: int, found: int) -> None:
        state = "is gone" if found == ABSENT else f"has revision {found}"
        wanted = "not to exist" if expected == ABSENT else f"to have revision {expected}"
        super().__init__(f"changing {key}: it was expected {wanted} and {state}", hint="try again")
        self.key = key
        self.expected = expected
        self.found = found


class Reader(Protocol):
    """The reading half of a store; a StagedStore has it too."""

    def get(self, key: str) -> Entry | None:
        """Return one entry."""
        ...

    def scan(self, prefix: str) -> list[Entry]:
        """Return every entry whose key begins with the prefix, ordered by key."""
        ...


class Store(Reader, Protocol):
    """Ordered keys with revisions and compare-and-swap."""

    def commit(self, changes: Sequence[StoreChange], durable: bool = False) -> int:
        """Make all changes or none, and return the store's revision afterwards.

        Args:
            changes: each key at most once; none at all makes no new revision.
            durable: come back only when the changes would survive a power cut.
        Raises:
            StoreConflict: a key does not have the revision it was expected to have.
        """
        ...

    def revision(self) -> int:
        """Return the number of the last commit; 0 for a new store."""
        ...

    def close(self) -> None:
        """Let go of the store; what was committed stays."""
        ...


def check_changes(changes: Sequence[StoreChange], revision_of: Callable[[str], int]) -> None:
    """Refuse a commit that names a key twice or whose expectations do not hold."""
    if len({change.key for change in changes}) != len(changes):
        keys = sorted(change.key for change in changes)
        twice = next(a for a, b in pairwise(keys) if a == b)
        raise Internal(f"committing to the store: key {twice} is named twice", hint="report this defect")
    for change in changes:
        if change.expect is not None:
            found = revision_of(change.key)
            if found != change.expect:
                raise StoreConflict(change.key, change.expect, found)


def prefix_end(prefix: str) -> str | None:
    """Return the smallest string above all that begin with the prefix; None when there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == 0xD800:  # surrogates are no characters and have no place in the order of UTF-8
            last = 0xE000
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None
