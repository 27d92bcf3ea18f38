"""A store that lives as long as its process: for tests and for planning without a host."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Sequence

from ductwork.store.protocol import ABSENT, Entry, Put, StoreChange, check_changes, prefix_end


class MemoryStore:
    """A Store in a dictionary with a sorted list of its keys."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._revision = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """Return one entry."""
        return self._entries.get(key)

    def scan(self, prefix: str) -> list[Entry]:
        """Return every entry whose key begins with the prefix, ordered by key."""
        with self._lock:
            end = prefix_end(prefix)
            last = len(self._keys) if end is None else bisect_left(self._keys, end)
            return [self._entries[key] for key in self._keys[bisect_left(self._keys, prefix) : last]]

    def commit(self, changes: Sequence[StoreChange], durable: bool = False) -> int:  # noqa: ARG002
        """Make all changes or none; `durable` has no meaning here."""
        with self._lock:
            check_changes(changes, self._revision_of)
            if changes:
                self._revision += 1
            for change in changes:
                if isinstance(change, Put):
                    self._put(Entry(change.key, change.value, self._revision))
                elif self._entries.pop(change.key, None):
                    del self._keys[bisect_left(self._keys, change.key)]
            return self._revision

    def revision(self) -> int:
        """Return the number of the last commit."""
        return self._revision

    def close(self) -> None:
        """Do nothing: the data goes with the object."""

    def _revision_of(self, key: str) -> int:
        entry = self._entries.get(key)
        return entry.revision if entry else ABSENT

    def _put(self, entry: Entry) -> None:
        if entry.key not in self._entries:
            insort(self._keys, entry.key)
        self._entries[entry.key] = entry
