"""One engine at a time per host: an advisory lock that says who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ductwork.errors import Internal, Unavailable
from ductwork.store.folder import folder_error, private_folder

_SHORTEST_SLEEP_S = 0.001
_LONGEST_SLEEP_S = 0.02
_HOLDER_MAX_BYTES = 512


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that took a lock last."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


class HostLock:
    """An flock(2) on a file, to be used as a context manager.

    The kernel lets go of it when the process ends, however it ends. The descriptor is closed on exec, so a
    program started meanwhile does not keep the lock; a bare fork would (flock(2): the lock belongs to the
    open file description).
    """

    def __init__(self, path: Path, timeout_s: float = 10.0) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._fd = -1

    @property
    def held(self) -> bool:
        """Say whether this object holds the lock."""
        return self._fd >= 0

    def acquire(self, timeout_s: float | None = None) -> None:
        """Take the lock, waiting for it at most `timeout_s` (0: do not wait).

        Raises:
            Unavailable: somebody else holds it; the message says who.
            Denied: the lock file cannot be opened.
        """
        if self.held:
            raise Internal(f"taking host lock {self.path}: it is held already", hint="report this defect")
        wait_s = self.timeout_s if timeout_s is None else timeout_s
        private_folder(self.path.parent)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise folder_error(error, self.path) from error
        try:
            self._wait(fd, wait_s)
            _write_holder(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Let go of the lock; doing so twice is harmless."""
        if not self.held:
            return
        fd, self._fd = self._fd, -1
        try:
            os.ftruncate(fd, 0)
        finally:
            # LOCK_UN and not close alone: a forked child may still hold a copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def holder(self) -> Holder | None:
        """Return who wrote itself into the lock file last; it may be gone by now."""
        try:
            pid, _, command = (
                self.path.read_bytes()[:_HOLDER_MAX_BYTES].decode(errors="replace").partition(" ")
            )
            return Holder(int(pid), command.strip() or "unknown")
        except (OSError, ValueError):
            return None

    def _wait(self, fd: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        sleep_s = _SHORTEST_SLEEP_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in {errno.EWOULDBLOCK, errno.EINTR}:
                    raise folder_error(error, self.path) from error
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise self._refusal(timeout_s)
            time.sleep(min(sleep_s, left_s))
            sleep_s = min(sleep_s * 2, _LONGEST_SLEEP_S)

    def _refusal(self, timeout_s: float) -> Unavailable:
        holder = self.holder()
        who = str(holder) if holder else "another process"
        return Unavailable(
            f"taking host lock {self.path}: {who} holds it, waited {timeout_s:g} s",
            hint="wait for it to finish and try again",
        )

    def __enter__(self) -> HostLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _write_holder(fd: int) -> None:
    """Leave a note for whoever waits; the lock itself does not depend on it."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv and sys.argv[0] else "python"
    note = f"{os.getpid()} {command}".replace("\n", " ").encode(errors="replace")[:_HOLDER_MAX_BYTES]
    with contextlib.suppress(OSError):  # a full disk must not stop a command that would free some space
        os.ftruncate(fd, 0)
        os.pwrite(fd, note, 0)
