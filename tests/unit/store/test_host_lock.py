from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ductwork.errors import FailedPrecondition, Internal, Unavailable
from ductwork.store.lock import HostLock

HOLD = """
import pathlib, sys
from ductwork.store.lock import HostLock
with HostLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _other_process(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=10)


def test_it_is_held_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    lock = HostLock(path)
    with lock:
        assert lock.held
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        holder = lock.holder()
        assert holder is not None and holder.pid == os.getpid()
    assert not lock.held
    assert lock.holder() is None
    with HostLock(path, timeout_s=0):
        pass


def test_two_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with HostLock(tmp_path / "lock"), pytest.raises(Unavailable):
        HostLock(tmp_path / "lock").acquire(timeout_s=0)


def test_who_waits_too_long_is_told_who_holds_it(tmp_path: Path) -> None:
    other = _other_process(tmp_path / "lock")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=rf"\(pid {other.pid}\) holds it, waited 0.1 s; wait for it"):
        HostLock(tmp_path / "lock").acquire(timeout_s=0.1)
    assert 0.1 <= time.monotonic() - began < 1
    _end(other)


def test_who_waits_gets_it_soon_after_it_is_free(tmp_path: Path) -> None:
    other = _other_process(tmp_path / "lock")
    lock = HostLock(tmp_path / "lock")
    with pytest.raises(Unavailable):
        lock.acquire(timeout_s=0)
    _end(other)
    lock.acquire(timeout_s=0)
    lock.release()
    lock.release()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    other = _other_process(tmp_path / "lock")
    other.kill()
    _end(other)
    with HostLock(tmp_path / "lock", timeout_s=1) as lock:
        holder = lock.holder()
        assert holder is not None and holder.pid == os.getpid()


def test_a_started_program_does_not_keep_it(tmp_path: Path) -> None:
    lock = HostLock(tmp_path / "lock")
    lock.acquire()
    child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        # As if this process had died: the descriptor goes without an unlock.
        os.close(lock._fd)
        lock._fd = -1
        with HostLock(tmp_path / "lock", timeout_s=0):
            pass
    finally:
        child.kill()
        child.wait()


def test_taking_it_twice_is_a_defect(tmp_path: Path) -> None:
    with HostLock(tmp_path / "lock") as lock, pytest.raises(Internal):
        lock.acquire()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FailedPrecondition, match="lock"):
        HostLock(tmp_path / "lock").acquire()
    assert not (tmp_path / "elsewhere").exists()
