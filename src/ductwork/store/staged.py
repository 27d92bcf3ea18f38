"""Changes gathered in memory before they are committed, so that a plan sees its own effects."""

from __future__ import annotations

from bisect import bisect_left, insort

from ductwork.store.protocol import ABSENT, Delete, Entry, Put, Reader, StoreChange, prefix_end


class StagedStore:
    """An overlay over a store: reads see what was put here, the store below stays as it is.

    An entry put here carries the revision its key has below (0 when it is new there), and every change
    expects that revision again, so committing fails when somebody else was faster.
    """

    def __init__(self, below: Reader) -> None:
        self._below = below
        self._seen: dict[str, Entry | None] = {}
        self._staged: dict[str, bytes | None] = {}
        self._keys: list[str] = []  # those of _staged in order: a change may hold tens of thousands

    def get(self, key: str) -> Entry | None:
        """Return one entry as it would be after the commit."""
        base = self._base(key)
        return self._over(key, base) if key in self._staged else base

    def scan(self, prefix: str) -> list[Entry]:
        """Return the entries below a prefix as they would be after the commit, ordered by key."""
        entries: dict[str, Entry | None] = {}
        for found in self._below.scan(prefix):
            # What was seen first is what the plan was made from, even if it has changed below since.
            entries[found.key] = self._seen.setdefault(found.key, found)
        changed = self._staged_below(prefix)
        entries.update((key, self._over(key, self._base(key))) for key in changed)
        present = [entry for entry in entries.values() if entry is not None]
        return sorted(present, key=lambda entry: entry.key) if changed else present

    def put(self, key: str, value: bytes) -> None:
        """Write a value in the overlay."""
        self._stage(key, value)

    def delete(self, key: str) -> None:
        """Take a key away in the overlay; one that is gone already is success."""
        self._stage(key, None)

    def changes(self) -> list[StoreChange]:
        """Return what differs from the store below, ordered by key, ready for its commit."""
        result: list[StoreChange] = []
        for key, value in sorted(self._staged.items()):
            base = self._seen[key]
            if value == (base.value if base else None):
                continue
            expect = base.revision if base else ABSENT
            result.append(Delete(key, expect) if value is None else Put(key, value, expect))
        return result

    def _stage(self, key: str, value: bytes | None) -> None:
        self._base(key)
        if key not in self._staged:
            insort(self._keys, key)
        self._staged[key] = value

    def _staged_below(self, prefix: str) -> list[str]:
        end = prefix_end(prefix)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        return self._keys[bisect_left(self._keys, prefix) : last]

    def _base(self, key: str) -> Entry | None:
        if key not in self._seen:
            self._seen[key] = self._below.get(key)
        return self._seen[key]

    def _over(self, key: str, base: Entry | None) -> Entry | None:
        value = self._staged[key]
        return None if value is None else Entry(key, value, base.revision if base else ABSENT)
