"""What SQLite's result codes mean for the caller (sqlite.org/rescode.html)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ductwork.errors import (
    Denied,
    DuctworkError,
    Exhausted,
    FailedPrecondition,
    Internal,
    Unavailable,
)

_FULL = {sqlite3.SQLITE_FULL}
_DENIED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection merely stands in the way."""
    return _code(error) in _BUSY


def explain(error: sqlite3.Error, path: Path) -> DuctworkError:
    """Turn a failure of the library into an error that says what to do."""
    code = _code(error)
    doing = f"using state file {path}"
    # Out of space shows as FULL for the file itself, as IOERR for the shared memory beside it.
    if code in _FULL or (code == sqlite3.SQLITE_IOERR and _no_space(path)):
        return Exhausted(f"{doing}: the disk is full", hint="free some disk space and try again")
    if code in _DENIED:
        return Denied(
            f"{doing}: it cannot be written ({error})",
            hint="run as root, or choose another state folder with --host",
        )
    if code in _BUSY:
        return Unavailable(f"{doing}: another process is busy with it", hint="try again")
    if code in _DAMAGED:
        return damaged(path, str(error))
    return Internal(f"{doing}: {error}", subject="state")


def damaged(path: Path, why: str) -> FailedPrecondition:
    """Say that a state file cannot be trusted, and what gets the user going again."""
    return FailedPrecondition(
        f"using state file {path}: it is damaged ({why})",
        hint=f"put a copy back in its place, or move {path.name}* away and create the networks again",
    )


def _code(error: sqlite3.Error) -> int:
    # Errors of the Python module itself (a closed connection) carry no code.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _no_space(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False
