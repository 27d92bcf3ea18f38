from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ductwork.errors import Denied, DuctworkError, Exhausted, FailedPrecondition
from ductwork.store.migrations import MIGRATIONS, Migration
from ductwork.store.protocol import Entry, Put, StoreConflict
from ductwork.store.sqlite import SqliteStore

NEEDS_MOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    store = SqliteStore(path)
    store.commit([Put("a", b"1")])
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (path.parent, *path.parent.iterdir())}
    store.close()
    assert modes == {"new": 0o700, "state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(mode=0o644)
    SqliteStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_state_outlives_the_store(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = SqliteStore(path)
    first.commit([Put("a", b"1")])
    first.close()
    first.close()
    second = SqliteStore(path)
    assert second.get("a") == Entry("a", b"1", 1)
    assert second.commit([Put("b", b"")]) == 2
    second.close()


def test_a_commit_outlives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    code = (
        "import os, pathlib, sys\n"
        "from ductwork.store.sqlite import SqliteStore\n"
        "from ductwork.store.protocol import Put\n"
        "store = SqliteStore(pathlib.Path(sys.argv[1]))\n"
        "store.commit([Put('a', b'1')])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], timeout=30, check=False).returncode == -9
    store = SqliteStore(path)
    assert store.get("a") == Entry("a", b"1", 1)
    store.close()


def test_an_error_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    with pytest.raises(DuctworkError):
        store.commit([Put("a", b"1"), Put("b", None)])  # type: ignore[arg-type]
    assert (store.scan(""), store.revision()) == ([], 0)
    store.close()


def test_durable_waits_for_the_disk_for_one_commit_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    seen: list[str] = []
    store._db.set_trace_callback(seen.append)
    store.commit([Put("a", b"1")], durable=True)
    store.commit([Put("b", b"1")])
    store._db.set_trace_callback(None)
    assert seen.index("PRAGMA synchronous = FULL") < seen.index("COMMIT")
    assert store._db.execute("PRAGMA synchronous").fetchone() == (1,)
    store.close()


# Several processes


def _count_up(path: Path, times: int) -> None:
    store = SqliteStore(path)
    for _ in range(times):
        while True:
            entry = store.get("counter")
            number, revision = (int(entry.value), entry.revision) if entry else (0, 0)
            try:
                store.commit([Put("counter", str(number + 1).encode(), expect=revision)])
            except StoreConflict:
                continue
            break
    store.close()


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "state.db"
    workers = [context.Process(target=_count_up, args=(path, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = SqliteStore(path)
    entry = store.get("counter")
    store.close()
    assert entry == Entry("counter", b"200", 200)


# Versions


def _upgrade(db: sqlite3.Connection) -> None:
    db.execute("UPDATE entry SET key = 'v2/' || key")


def _fail(db: sqlite3.Connection) -> None:
    _upgrade(db)
    raise RuntimeError("broken migration")


LATER = (*MIGRATIONS, Migration(2, "keys get a prefix", _upgrade))


def _version_of(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as db:
        table = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0]
        result = (db.execute("PRAGMA user_version").fetchone()[0], table)
    db.close()
    return result


def test_the_version_is_in_the_table_and_in_the_header(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db").close()
    assert _version_of(tmp_path / "state.db") == (1, 1)


def test_an_older_file_is_brought_up_to_date_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    old = SqliteStore(path)
    old.commit([Put("a", b"1")])
    old.close()
    for _ in range(2):
        new = SqliteStore(path, LATER)
        assert new.scan("") == [Entry("v2/a", b"1", 1)]
        new.close()
    assert _version_of(path) == (2, 2)


def test_a_new_file_begins_with_the_newest_version(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db", LATER).close()
    assert _version_of(tmp_path / "state.db") == (2, 2)


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    old = SqliteStore(path)
    old.commit([Put("a", b"1")])
    old.close()
    with pytest.raises(RuntimeError):
        SqliteStore(path, (*MIGRATIONS, Migration(2, "broken", _fail)))
    assert _version_of(path) == (1, 1)
    again = SqliteStore(path)
    assert again.scan("") == [Entry("a", b"1", 1)]
    again.close()


def test_a_newer_file_is_refused_and_both_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteStore(path, LATER).close()
    before = path.read_bytes()
    with pytest.raises(FailedPrecondition, match=r"version 2.*up to version 1; use the newer Ductwork"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [m.version for m in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


# What can be wrong with a file


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(FailedPrecondition, match="another program"):
        SqliteStore(path)


@pytest.mark.parametrize("size", [10, 5000])
def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"junk!" * (size // 5))
    with pytest.raises(FailedPrecondition, match=r"state.db: it is damaged.*move state.db\* away") as caught:
        SqliteStore(path)
    assert "\n" not in str(caught.value)


def test_damage_in_the_middle_is_told_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.commit([Put(f"k{i:05}", bytes(500)) for i in range(500)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(FailedPrecondition, match="damaged"):
        SqliteStore(path).scan("")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(DuctworkError, match=r"state.db"):
        SqliteStore(tmp_path / "state.db")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(FailedPrecondition, match="choose another state folder"):
        SqliteStore(tmp_path / "folder" / "state.db")


def _in_mount_namespace(script: str, folder: Path, **programs: str) -> str:
    """Run shell lines where mounts of their own do no harm, and return what they print."""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-eu", "-c", script, "sh", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, **programs},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FILL = """
import pathlib, sys
from ductwork.errors import DuctworkError
from ductwork.store.sqlite import SqliteStore
from ductwork.store.protocol import Put
try:
    store = SqliteStore(pathlib.Path(sys.argv[1]) / "state.db")
    for i in range(2000):
        store.commit([Put(f"k{i}", bytes(4000))])
except DuctworkError as error:
    print(type(error).__name__, error)
    sys.exit()
print("no error")
"""


@NEEDS_MOUNTS
@pytest.mark.parametrize("size", ["256k", "64k", "8k"])
def test_a_full_disk_is_told_and_costs_nothing(tmp_path: Path, size: str) -> None:
    script = (
        f'mount -t tmpfs -o size={size} tmpfs "$1"; "$PYTHON" -c "$FILL" "$1";'
        ' mount -o remount,size=4m "$1"; "$PYTHON" -c "$CHECK" "$1"'
    )
    check = (
        "import pathlib, sys\n"
        "from ductwork.store.sqlite import SqliteStore\n"
        "store = SqliteStore(pathlib.Path(sys.argv[1]) / 'state.db')\n"
        "whole = store._db.execute('PRAGMA integrity_check').fetchone()[0]\n"
        "print(len(store.scan('')) == store.revision(), whole)\n"
        "store.close()\n"
    )
    first, second = _in_mount_namespace(script, tmp_path, FILL=FILL, CHECK=check).splitlines()
    assert first.startswith(Exhausted.__name__) and "disk" in first
    assert second == "True ok"


@NEEDS_MOUNTS
def test_a_read_only_folder_is_denied(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; mount -o remount,ro "$1"; "$PYTHON" -c "$FILL" "$1"'
    out = _in_mount_namespace(script, tmp_path, FILL=FILL)
    assert out.startswith(Denied.__name__) and "--host" in out


@NEEDS_MOUNTS
def test_a_file_that_became_read_only_is_denied(tmp_path: Path) -> None:
    script = (
        'mount -t tmpfs -o size=4m tmpfs "$1"; "$PYTHON" -c "$MAKE" "$1"; mount -o remount,ro "$1";'
        '"$PYTHON" -c "$FILL" "$1"'
    )
    make = (
        "import pathlib, sys\n"
        "from ductwork.store.sqlite import SqliteStore\n"
        "SqliteStore(pathlib.Path(sys.argv[1]) / 'state.db').close()\n"
    )
    assert _in_mount_namespace(script, tmp_path, FILL=FILL, MAKE=make).startswith(Denied.__name__)
