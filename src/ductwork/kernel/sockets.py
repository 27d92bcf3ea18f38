"""Who holds a port in a namespace: tried by binding it, explained from /proc."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from ductwork.kernel.enter import Enter
from ductwork.kernel.ports import KernelError, Listener
from ductwork.model.addresses import IPAddress

_IP_FREEBIND = 15  # linux/in.h
_IPV6_FREEBIND = 78  # linux/in6.h
_SCTP = 132

# protocol: files below /proc/net, and the state (net/tcp_states.h) of a socket that waits for anybody:
# LISTEN for TCP, and for UDP CLOSE, which is every socket that is not connected.
_TABLES = {"tcp": (("tcp", "tcp6"), "0A"), "udp": (("udp", "udp6"), "07")}
_PROC = Path("/proc")


class LocalSockets:
    """The SocketPort of one namespace."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter

    def bind_conflict(self, protocol: str, ip: IPAddress, port: int) -> bool:
        """Try to bind and let go again; say whether somebody else's socket stands in the way.

        An address that no interface has yet is no conflict, nor is a protocol that the kernel lacks.

        Raises:
            KernelError: binding failed for another reason, such as a missing privilege for a port below 1024.
        """
        try:
            return self._enter(lambda: _try_bind(protocol, ip, port))
        except OSError as error:
            number = error.errno or errno.EIO
            raise KernelError(number, os.strerror(number), f"try {protocol} port {port} of {ip}") from error

    def listeners(self, protocol: str, port: int) -> list[Listener]:
        """Return the sockets that wait on a port, of every address; SCTP sockets are not listed."""
        found = self._enter(lambda: list(_waiting(protocol, port)))
        names = _processes({inode for _, inode in found})
        return [Listener(protocol, ip, port, names.get(inode, "")) for ip, inode in found]


def _try_bind(protocol: str, ip: IPAddress, port: int) -> bool:
    try:
        with _socket(protocol, ip) as sock:
            # No listen(2): the bind alone fails beside a listener, SO_REUSEADDR on both or not
            # (inet_csk_bind_conflict), and nobody can connect to us meanwhile.
            sock.bind((str(ip), port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return True
        if error.errno in {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL}:
            return False
        raise
    return False


def _socket(protocol: str, ip: IPAddress) -> socket.socket:
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind, _SCTP if protocol == "sctp" else 0)
    try:
        if protocol != "udp":
            # So that connections in TIME_WAIT do not count; for UDP it would hide real conflicts.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ip.version == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    except OSError:
        sock.close()
        raise
    return sock


def _waiting(protocol: str, port: int) -> Iterator[tuple[IPAddress, int]]:
    """Yield address and inode of each waiting socket in the calling thread's namespace (proc_pid_net(5))."""
    files, wanted_state = _TABLES.get(protocol, ((), ""))
    ending = f":{port:04X}"
    for name in files:
        try:
            rows = (_PROC / "thread-self/net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == wanted_state and fields[1].endswith(ending):
                yield _address(fields[1].partition(":")[0]), int(fields[9])


def _address(digits: str) -> IPAddress:
    """Read an address as /proc/net writes it: 32-bit words in the machine's byte order."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _processes(inodes: set[int]) -> dict[int, str]:
    """Return "name (pid N)" for each socket inode, of the oldest process when several share one."""
    found: dict[int, str] = {}
    if not inodes:
        return found
    pids = sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    for pid in pids:
        for inode in _sockets_of(pid) & inodes - found.keys():
            found[inode] = f"{_name_of(pid)} (pid {pid})"
        if len(found) == len(inodes):
            break
    return found


def _sockets_of(pid: int) -> set[int]:
    result: set[int] = set()
    # A process may end, or be somebody else's, at any point of this.
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)  # noqa: PTH115 -- ten times as fast as Path here
                if target.startswith("socket:["):
                    result.add(int(target[8:-1]))
    return result


def _name_of(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "unknown"
