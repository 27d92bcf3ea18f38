"""The store of one host in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ductwork.errors import Internal
from ductwork.store.folder import folder_error, private_folder
from ductwork.store.migrations import MIGRATIONS, Migration, migrate
from ductwork.store.protocol import ABSENT, Entry, Put, StoreChange, check_changes, prefix_end
from ductwork.store.sqlite_errors import damaged, explain, is_busy

_BUSY_TIMEOUT_S = 5.0
_QUESTION_LIMIT = 500  # values in one statement; SQLite before 3.32 allows 999


class SqliteStore:
    """A Store in a file that several processes may have open.

    Not to be used in a child after fork(2): open another one there.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Open the file, making it and its folder when they are missing, and bring it up to date.

        Raises:
            FailedPrecondition: damaged, of a newer version, or no state file of ours.
            Denied, Exhausted, Unavailable: as their names say.
        """
        self._path = path
        self._lock = threading.Lock()
        private_folder(path.parent)
        _make_private(path)
        try:
            self._db = _open(path, migrations)
        except sqlite3.Error as error:
            raise explain(error, path) from error

    def get(self, key: str) -> Entry | None:
        """Return one entry."""
        try:
            with self._lock:
                row = self._db.execute("SELECT value, revision FROM entry WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
        return Entry(key, row[0], row[1]) if row else None

    def scan(self, prefix: str) -> list[Entry]:
        """Return every entry whose key begins with the prefix, ordered by key."""
        # SQLite compares UTF-8 bytes, Python code points: the order is the same.
        query, values = "SELECT key, value, revision FROM entry WHERE key >= ?", [prefix]
        if (end := prefix_end(prefix)) is not None:
            query, values = f"{query} AND key < ?", [prefix, end]
        try:
            with self._lock:
                rows = self._db.execute(f"{query} ORDER BY key", values).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
        return [Entry(*row) for row in rows]

    def commit(self, changes: Sequence[StoreChange], durable: bool = False) -> int:
        """Make all changes or none; `durable` waits for the disk (synchronous=FULL for this commit)."""
        try:
            with self._lock:
                if not durable:
                    return self._commit(changes)
                self._db.execute("PRAGMA synchronous = FULL")
                try:
                    return self._commit(changes)
                finally:
                    self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def revision(self) -> int:
        """Return the number of the last commit."""
        try:
            with self._lock:
                return self._revision()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def close(self) -> None:
        """Close the file; doing so twice is harmless."""
        # Closing folds the log into the file; when that fails (full disk) the log stays and nothing is lost.
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _commit(self, changes: Sequence[StoreChange]) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            check_changes(changes, self._revisions_of(changes).__getitem__)
            revision = self._revision()
            if changes:
                revision += 1
                self._write(changes, revision)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # after some failures SQLite has rolled back already
                self._db.execute("ROLLBACK")
            raise
        return revision

    def _write(self, changes: Sequence[StoreChange], revision: int) -> None:
        puts = [(change.key, change.value, revision) for change in changes if isinstance(change, Put)]
        deletes = [(change.key,) for change in changes if not isinstance(change, Put)]
        self._db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", puts)
        self._db.executemany("DELETE FROM entry WHERE key = ?", deletes)
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (revision,))

    def _revision(self) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE name = 'revision'").fetchone()
        if row is None:
            raise damaged(self._path, "it has lost its revision")
        return int(row[0])

    def _revisions_of(self, changes: Sequence[StoreChange]) -> dict[str, int]:
        """Read the revisions of all keys that a commit expects something of, in few questions."""
        keys = [change.key for change in changes if change.expect is not None]
        found = dict.fromkeys(keys, ABSENT)
        for start in range(0, len(keys), _QUESTION_LIMIT):
            some = keys[start : start + _QUESTION_LIMIT]
            marks = ",".join("?" * len(some))
            found.update(self._db.execute(f"SELECT key, revision FROM entry WHERE key IN ({marks})", some))
        return found


def _make_private(path: Path) -> None:
    """See that only the owner may read the file; SQLite gives the files beside it the same mode."""
    try:
        # Never open a file that exists: closing it would drop the locks of every connection of this
        # process to it (sqlite.org/howtocorrupt.html, section 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise folder_error(error, path) from error


def _open(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(db)
        db.execute("PRAGMA synchronous = NORMAL")
        migrate(db, path, migrations)
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; when two processes do so at once SQLite itself does not wait."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise Internal(f"opening the state file: SQLite offers journal mode {mode}", hint="use a local disk")
