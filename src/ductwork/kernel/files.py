"""Our lines in hosts files; every other byte of the file stays as it is.

Files are rewritten in place, never replaced: a container's /etc/hosts is a bind mount of one inode, and a new
file beside it would not be seen inside. What a container owns is hostile: its files are opened without
leaving its root, and only regular files are read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ductwork.kernel.hosts_block import replace_block
from ductwork.kernel.openat2 import open_in_root
from ductwork.kernel.ports import KernelError

_MAX_BYTES = 1 << 20
_LOCALHOST = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_MADE_FILE = b"# ductwork made this file\n" + _LOCALHOST
_MADE_FOLDER = b"# ductwork made this file and its folder\n" + _LOCALHOST
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def write_hosts(where: str, lines: Sequence[str]) -> bool:
    """Make `lines` the block of ours in a hosts file; no lines take the block away.

    Args:
        where: "file:PATH", made when it is missing, or "pid:N", the /etc/hosts which that process sees.

    Returns:
        False when there is nothing to write to: the process is gone, its root has no /etc, or it shares this
        machine's own /etc/hosts, which is not ours to change.

    Raises:
        KernelError: the file cannot be written, or is no regular file of a sensible size.
    """
    kind, _, rest = where.partition(":")
    doing = f"write hosts of {where}"
    if any("\n" in line for line in lines):
        raise KernelError(errno.EINVAL, "one of the lines is several", doing)
    try:
        if kind == "file" and rest:
            _write_file(Path(rest), lines)
            return True
        if kind == "pid" and rest.isascii() and rest.isdigit():
            return _write_in_root_of(int(rest), lines)
    except OSError as error:
        number = error.errno or errno.EIO
        raise KernelError(number, error.strerror or str(error), doing) from error
    raise KernelError(errno.EINVAL, "neither file:PATH nor pid:N", doing)


def _write_file(path: Path, lines: Sequence[str]) -> None:
    try:
        with _closing(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)) as fd:
            left = _rewrite(fd, lines)
    except FileNotFoundError:
        if lines:
            _make_file(path, lines)
        return
    if left in {_MADE_FILE, _MADE_FOLDER}:
        path.unlink(missing_ok=True)
    if left == _MADE_FOLDER:
        with contextlib.suppress(OSError):  # somebody else's files are in it: it stays
            path.parent.rmdir()


def _make_file(path: Path, lines: Sequence[str]) -> None:
    start = _MADE_FILE if path.parent.is_dir() else _MADE_FOLDER
    path.parent.mkdir(parents=True, exist_ok=True)
    with _closing(os.open(path, _NEW_FILE, 0o644)) as fd:
        _write(fd, b"", replace_block(start, lines))


def _write_in_root_of(pid: int, lines: Sequence[str]) -> bool:
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return False
    with _closing(root):
        try:
            # O_PATH first: merely opening a device or a pipe can have effects.
            found = open_in_root(root, "etc/hosts", os.O_PATH)
        except FileNotFoundError:
            return bool(lines) and _make_in_root(root, lines)
        with _closing(found):
            if _is_machines_own(found) or not _is_running(pid):
                return False
            _check_regular(found)
            with _closing(os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_CLOEXEC)) as fd:
                left = _rewrite(fd, lines)
        if left == _MADE_FILE:
            with _closing(open_in_root(root, "etc", os.O_PATH | os.O_DIRECTORY)) as folder:
                os.unlink("hosts", dir_fd=folder)
    return True


def _make_in_root(root: int, lines: Sequence[str]) -> bool:
    if os.path.samestat(os.fstat(root), Path("/").stat()):
        return False
    try:
        fd = open_in_root(root, "etc/hosts", _NEW_FILE, 0o644)
    except FileNotFoundError:
        return False
    with _closing(fd):
        _write(fd, b"", replace_block(_MADE_FILE, lines))
    return True


def _is_machines_own(fd: int) -> bool:
    """Say whether a file is the /etc/hosts of this machine, or of the mount namespace we run in."""
    for own in (Path("/etc/hosts"), Path("/proc/1/root/etc/hosts")):
        with contextlib.suppress(OSError):  # there is none, or it is not ours to see
            if os.path.samestat(os.fstat(fd), own.stat()):
                return True
    return False


def _is_running(pid: int) -> bool:
    """Say whether a process still has its mounts; without them we would see the files that they covered."""
    try:
        Path(f"/proc/{pid}/root").stat()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def _rewrite(fd: int, lines: Sequence[str]) -> bytes:
    """Bring the block in a file up to date and return the whole new content."""
    _check_regular(fd)
    old = os.pread(fd, _MAX_BYTES + 1, 0)
    if len(old) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MAX_BYTES} bytes")
    new = replace_block(old, lines)
    if new != old:
        try:
            _write(fd, old, new)
        except OSError:
            _write(fd, new, old)  # as it was before: a full disk must not cost somebody half a file
            raise
    return new


def _write(fd: int, old: bytes, new: bytes) -> None:
    """Write the part that differs, so that a reader meanwhile sees all lines that do not change."""
    pairs = enumerate(zip(old, new, strict=False))
    done = next((i for i, (before, after) in pairs if before != after), min(len(old), len(new)))
    while done < len(new):
        done += os.pwrite(fd, new[done:], done)
    if len(new) < len(old):
        os.ftruncate(fd, len(new))


def _check_regular(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
