"""Network namespaces: making, finding and deleting them, and doing something inside one.

A thread that others use is never moved into another namespace: `Opener` has a thread of its own for it, which
opens sockets there and comes back. A socket stays in the namespace it was opened in, so all that follows
needs no thread. No process is ever forked.
Source: setns(2), ioctl_ns(2), mount(2), socket(7) for SO_NETNS_COOKIE, ip-netns(8).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import queue
import socket
import stat
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, TypeVar

from ductwork.kernel.netlink.socket import NetlinkSocket, raw_socket

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x4000_0000
_NS_GET_NSTYPE: Final = 0xB703
_NSFS_MAGIC: Final = 0x6E73_6673
_SO_NETNS_COOKIE: Final = 71
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x10_0000
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_STATFS_BYTES: Final = 256  # more than any struct statfs; its first word is the type
_LAYERS: Final = 8  # how many mounts on top of each other are taken off

# The folder of `ip netns`. It stays a mount point, as ip leaves it.
_IP_NETNS: Final = Path("/run/netns")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


# -- doing something inside ----------------------------------------------------------------------------------


class _Job(Generic[T]):
    __slots__ = ("done", "error", "fd", "result", "work")

    def __init__(self, fd: int, work: Callable[[], T]) -> None:
        self.fd = fd
        self.work = work
        self.done = threading.Lock()
        self.done.acquire()
        self.result: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if _libc.setns(self.fd, _CLONE_NEWNET) != 0:
                _fail("setns")
            self.result.append(self.work())
        except BaseException as error:  # carried to the caller, who waits for it
            self.error = error
        self.done.release()


class Opener:
    """Runs callables inside namespaces, one after the other, in a thread kept for that."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="netns opener", daemon=True)
        self._thread.start()

    def run(self, fd: int, work: Callable[[], T]) -> T:
        """Do `work` in the namespace that fd refers to, and return or raise what it does."""
        job = _Job(fd, work)
        self._jobs.put(job)
        job.done.acquire()
        if job.error is not None:
            raise job.error
        return job.result[0]

    def close(self) -> None:
        """End the thread; what was opened stays open."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while (job := self._jobs.get()) is not None:
                job.run()
                # A thread keeps the namespace it is in alive, and so does a result it holds on to. Should
                # the way home fail, the next job still goes where it wants.
                _libc.setns(home, _CLONE_NEWNET)
                del job
        finally:
            os.close(home)


@dataclass(frozen=True, slots=True)
class BoundNamespace:
    """An open namespace with an rtnetlink socket inside; it lives at least until `close`.

    Attributes:
        cookie: SO_NETNS_COOKIE, never reused while the machine is up.
    """

    fd: int
    path: str
    cookie: int
    rtnetlink: NetlinkSocket
    _opener: Opener = field(repr=False)

    @staticmethod
    def open(path: str, opener: Opener) -> BoundNamespace:
        """Open the namespace at a path.

        Raises:
            FileNotFoundError, PermissionError; ValueError: not a network namespace.
        """
        fd = _open_namespace(path)
        try:
            sock = opener.run(fd, raw_socket)
            try:
                return BoundNamespace(fd, path, _cookie(sock, fd), NetlinkSocket(sock), opener)
            except BaseException:
                sock.close()
                raise
        except BaseException:
            os.close(fd)
            raise

    def enter(self, work: Callable[[], T], /) -> T:
        """Do `work` inside, and return or raise what it does."""
        return self._opener.run(self.fd, work)

    def close(self) -> None:
        """Let go of the namespace; once only."""
        self.rtnetlink.close()
        os.close(self.fd)


def _open_namespace(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    try:
        if _file_system(fd) != _NSFS_MAGIC or fcntl.ioctl(fd, _NS_GET_NSTYPE) != _CLONE_NEWNET:
            raise ValueError(f"{path} is not a network namespace")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _cookie(sock: socket.socket, fd: int) -> int:
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        # Before Linux 5.14. An inode number is not given to another namespace while this one is open.
        return os.fstat(fd).st_ino
    return int(struct.unpack("=Q", raw)[0])


def _file_system(fd: int) -> int:
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(fd, buffer) != 0:
        _fail("fstatfs")
    return ctypes.c_long.from_buffer(buffer).value


# -- making and deleting -------------------------------------------------------------------------------------


def create_namespace(path: str) -> None:
    """Make a namespace and pin it at a path, as `ip netns add` does.

    Raises:
        FileExistsError: the path is taken.
    """
    place = Path(path)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _share(place.parent)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    except FileExistsError:
        if not _is_left_over(place):
            raise
    failure: list[BaseException] = []

    def make() -> None:
        try:
            if _libc.unshare(_CLONE_NEWNET) != 0:
                _fail("unshare")
            _mount("/proc/thread-self/ns/net", path, _MS_BIND)
        except BaseException as error:  # carried out of the thread
            failure.append(error)

    # The new namespace belongs to this thread alone, and after it to the mount.
    thread = threading.Thread(target=make, name="netns maker")
    thread.start()
    thread.join()
    if failure:
        delete_namespace(path)
        raise failure[0]


def _is_left_over(place: Path) -> bool:
    """Say whether a file is what a killed create leaves: empty, and without any permission."""
    status = place.lstat()
    return stat.S_IMODE(status.st_mode) == 0 and stat.S_ISREG(status.st_mode) and status.st_size == 0


def _share(folder: Path) -> None:
    """Let what is mounted in a folder appear in other mount namespaces; it must be a mount for that."""
    try:
        _mount("none", str(folder), _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(str(folder), str(folder), _MS_BIND | _MS_REC)
        _mount("none", str(folder), _MS_SHARED | _MS_REC)


def _mount(source: str, target: str, flags: int) -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), b"none", flags, None) != 0:
        _fail(f"mount {source} on {target}")


def delete_namespace(path: str) -> None:
    """Unpin a namespace; what is gone, or was never finished, is success."""
    for _ in range(_LAYERS):
        if _libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
            number = ctypes.get_errno()
            if number not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                _fail(f"umount {path}")
            break
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone is success
        os.unlink(path)  # noqa: PTH108
    _unshare_folder(Path(path).parent)


def _unshare_folder(folder: Path) -> None:
    """Take an empty folder's own mount off, so that its owner can remove the folder."""
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
        is_bind = folder.stat().st_dev == folder.parent.stat().st_dev
    except (FileNotFoundError, NotADirectoryError):
        return
    if is_bind and folder.resolve() != _IP_NETNS:
        # Not a mount, or somebody was faster and has put something in: both are well.
        _libc.umount2(os.fsencode(folder), _UMOUNT_NOFOLLOW)


def namespace_paths(folder: str) -> list[str]:
    """List the namespaces that are pinned in a folder, sorted."""
    found: list[str] = []
    try:
        entries = sorted(entry.path for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for path in entries:
        with contextlib.suppress(OSError):  # vanished, or not ours to read
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                if _file_system(fd) == _NSFS_MAGIC:
                    found.append(path)
            finally:
                os.close(fd)
    return found
