"""Sysctls of a namespace through /proc/sys/net.

The kernel resolves /proc/sys/net by the namespace of the thread that walks the path, not by that of the
process (fs/proc/proc_sysctl.c, is_seen), so every access happens on a thread inside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from ductwork.kernel.enter import Enter
from ductwork.kernel.ports import KernelError

_ROOT = "/proc/sys"
_MAX_BYTES = 65536


class ProcSysctl:
    """The SysctlPort of one namespace; paths are relative to /proc/sys, such as net/ipv4/ip_forward."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter

    def get(self, path: str) -> str | None:
        """Return a value without the line's end; None when this kernel or namespace has no such sysctl.

        Raises:
            KernelError: it exists and cannot be read.
        """
        full = _full_path(path)
        try:
            return self._enter(lambda: _read(full))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refused(error, f"read sysctl {path}") from error

    def set(self, path: str, value: str) -> None:
        """Write a value.

        Raises:
            KernelError: there is no such sysctl, the value is not allowed, or /proc/sys is read-only.
        """
        full = _full_path(path)
        try:
            self._enter(lambda: _write(full, value))
        except OSError as error:
            raise _refused(error, f"set sysctl {path} to {value}") from error

    def tree(self, path: str) -> dict[str, str]:
        """Return every readable sysctl below a folder, by its path; nothing when there is no such folder."""
        full = _full_path(path)
        return self._enter(lambda: {name[len(_ROOT) + 1 :]: value for name, value in _walk(full)})


def _full_path(path: str) -> str:
    """Refuse what is no sysctl of a network namespace: names from elsewhere may be part of the path."""
    parts = path.split("/")
    if parts[0] != "net" or any(part in {"", ".", ".."} for part in parts):
        raise KernelError(errno.EINVAL, "not a path below net/", f"use sysctl {path!r}")
    return f"{_ROOT}/{path}"


def _read(full: str) -> str:
    fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MAX_BYTES).decode(errors="replace").rstrip("\n")
    finally:
        os.close(fd)


def _write(full: str, value: str) -> None:
    fd = os.open(full, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, f"{value}\n".encode())  # in one write: the kernel parses each write for itself
    finally:
        os.close(fd)


def _walk(full: str) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(full) as entries:
            found = sorted((entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):  # interfaces come and go
        return
    for path, is_folder in found:
        if is_folder:
            yield from _walk(path)
        else:
            try:
                value = _read(path)
            except OSError:  # write-only (route/flush), not set (stable_secret), or gone
                continue
            yield path, value


def _refused(error: OSError, doing: str) -> KernelError:
    number = error.errno or errno.EIO
    return KernelError(number, os.strerror(number), doing)
