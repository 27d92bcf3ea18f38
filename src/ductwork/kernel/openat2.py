"""Open files below a root that somebody hostile may have filled (openat2(2), Linux 5.6)."""

from __future__ import annotations

import ctypes
import errno
import os

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02  # linux/openat2.h
_RESOLVE_IN_ROOT = 0x10
_TRIES = 100

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as if the root were /: neither `..` nor a symbolic link, however made, leads out of it.

    Args:
        mode: of a file that O_CREAT makes; the kernel refuses one without O_CREAT.
    Raises:
        OSError: as open(2); ELOOP also for a link of the /proc/PID/fd kind.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    number = ctypes.c_long(_OPENAT2)
    error = 0
    for _ in range(_TRIES):
        fd = _libc.syscall(
            number,
            ctypes.c_int(root_fd),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return int(fd)
        error = ctypes.get_errno()
        # EAGAIN: something was renamed or mounted during the walk, and the kernel could not be sure.
        if error not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(error, os.strerror(error), path)
