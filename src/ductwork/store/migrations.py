"""The state file's layout, version by version.

A new version is one more line in MIGRATIONS; what is there never changes once released.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ductwork.errors import FailedPrecondition

APPLICATION_ID = 0x64756374  # "duct", see sqlite.org/pragma.html#pragma_application_id


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from the version before; `apply` runs inside the transaction of the whole upgrade."""

    version: int
    purpose: str
    apply: Callable[[sqlite3.Connection], None]


def _first_layout(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL)"
        " WITHOUT ROWID"
    )
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    db.execute("INSERT INTO meta VALUES ('revision', 0)")


MIGRATIONS: tuple[Migration, ...] = (Migration(1, "entries with revisions", _first_layout),)


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Bring a state file to the newest version in one transaction: wholly or not at all.

    Raises:
        FailedPrecondition: the file is of a newer version, or is not a state file of ours.
    """
    newest = migrations[-1].version
    if _version(db, path, newest) == newest:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db, path, newest)  # another process may have been faster
        for migration in migrations:
            if migration.version > version:
                migration.apply(db)
        # Both belong to the transaction: the table tells people, the pragma is read without any table.
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (newest,))
        db.execute(f"PRAGMA user_version = {newest:d}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, path: Path, newest: int) -> int:
    """Return the file's version, 0 for an empty one, after making sure that we may touch it."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    owner: int = db.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or db.execute("SELECT 1 FROM sqlite_master").fetchone()):
        raise FailedPrecondition(
            f"opening state file {path}: it is a database of another program",
            hint="choose another state folder with --host",
        )
    if version > newest:
        raise FailedPrecondition(
            f"opening state file {path}: it has format version {version},"
            f" and this Ductwork knows formats up to version {newest}",
            hint="use the newer Ductwork that wrote it, or choose another state folder with --host",
        )
    return version
