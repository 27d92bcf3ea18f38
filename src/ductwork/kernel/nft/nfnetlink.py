"""nfnetlink: framing, one transaction or dump at a time, and every refusal the kernel has to tell.

The kernel handles a netfilter request inside the send call, so its answers are queued when send returns. That
is why a transaction needs one send and one receive, and why refusals can be collected without waiting.
Source: linux/netlink.h, linux/netfilter/nfnetlink.h, net/netfilter/nfnetlink.c.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from ductwork.kernel.enter import Enter
from ductwork.kernel.ports import KernelError

T = TypeVar("T")

NESTED: Final = 0x8000
REQUEST: Final = 0x1
ACK: Final = 0x4
EXCL: Final = 0x200
CREATE: Final = 0x400

_NETLINK_NETFILTER = 12
_DUMP = 0x300
_DUMP_INTERRUPTED = 0x10
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ERROR, _DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_SNDBUFFORCE = 32
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("=HH")
HEADER_BYTES: Final = _HEADER.size + _GENERIC.size
ATTRIBUTE_BYTES: Final = _ATTRIBUTE.size
_RECEIVE_BYTES = 1 << 17  # the kernel builds dump parts of at most 32 KiB
_ANSWER_WITHIN_S = 10
_DUMP_TRIES = 20


class Request(NamedTuple):
    """One message: `kind` is subsystem << 8 | message, `body` the attributes."""

    kind: int
    flags: int
    family: int
    body: bytes
    version: int = 0


class Answer(NamedTuple):
    """One object the kernel reported; `place` is that of the request it answers."""

    place: int
    kind: int
    family: int
    body: memoryview


class Refusal(NamedTuple):
    """One error; `place` is the refused request's, -1 for the transaction as a whole.

    `text` is the kernel's extended ack, `offset` where in the message it found the fault; both may be empty.
    """

    place: int
    errno: int
    text: str
    offset: int


def attribute(kind: int, value: bytes) -> bytes:
    """Frame one attribute, padded to four bytes."""
    size = len(value)
    return _ATTRIBUTE.pack(size + 4, kind) + value + bytes(-size & 3)


def text_attribute(kind: int, value: str) -> bytes:
    """Frame a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def each_attribute(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk attributes in order, types without their flag bits."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & _TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def attributes(data: memoryview) -> dict[int, memoryview]:
    """Collect attributes by type."""
    return dict(each_attribute(data))


def text_of(value: memoryview | bytes) -> str:
    """Read a string attribute; names that are not UTF-8 survive a round trip."""
    return bytes(value).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pack(request: Request, flags: int, sequence: int) -> bytes:
    kind, _, family, body, version = request
    return (
        _HEADER.pack(HEADER_BYTES + len(body), kind, flags, sequence, 0)
        + _GENERIC.pack(family, version, 0)
        + body
    )


def _batch_edge(kind: int, subsystem: int, sequence: int) -> bytes:
    return _HEADER.pack(HEADER_BYTES, kind, REQUEST, sequence, 0) + _GENERIC.pack(0, 0, subsystem)


class _Message(NamedTuple):
    kind: int
    flags: int
    sequence: int
    body: memoryview


class NetfilterSocket:
    """A netfilter socket that lives in one namespace and serves any thread, one exchange at a time."""

    def __init__(self, enter: Enter) -> None:
        self._sock = enter(_open)
        self._lock = threading.Lock()
        self._sequence = 0
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._sendable = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2

    def close(self) -> None:
        """Close the socket; a second time is harmless."""
        self._sock.close()

    def transact(self, requests: Sequence[Request]) -> list[Refusal]:
        """Do all requests in one transaction, or none: then say why.

        Raises:
            OSError: the kernel could not be asked, or its answer was lost (ENOBUFS): the outcome is unknown.
        """
        subsystem = requests[0].kind >> 8
        with self._lock:
            first = self._take_sequences(len(requests) + 2)
            last = first + len(requests)
            # A refused message is answered in any case; the last one's answer says that the kernel is done.
            parts = [
                _pack(request, request.flags | REQUEST | (ACK if sequence == last else 0), sequence)
                for sequence, request in enumerate(requests, first + 1)
            ]
            begin, end = (
                _batch_edge(_BATCH_BEGIN, subsystem, first),
                _batch_edge(_BATCH_END, subsystem, last + 1),
            )
            self._send(b"".join((begin, *parts, end)))
            return self._refusals(first, last)

    def ask(self, requests: Sequence[Request]) -> tuple[list[Answer], list[Refusal]]:
        """Send independent requests together; each is answered by objects, an ack or a refusal."""
        with self._lock:
            first = self._take_sequences(len(requests))
            last = first + len(requests) - 1
            self._send(b"".join(_pack(r, r.flags | REQUEST | ACK, s) for s, r in enumerate(requests, first)))
            answers: list[Answer] = []
            refusals: list[Refusal] = []
            waiting = len(requests)
            while waiting:
                for message in self._receive(first, last):
                    place = message.sequence - first
                    if message.kind == _ERROR:
                        waiting -= 1
                        if refusal := _refusal(message, place):
                            refusals.append(refusal)
                    else:
                        answers.append(_answer(message, place))
            return answers, refusals

    def dump(self, request: Request, doing: str) -> list[Answer]:
        """Read a whole list; start again when it changed meanwhile.

        Raises:
            KernelError: the kernel refused, or the list never stood still.
        """
        for _ in range(_DUMP_TRIES):
            with self._lock:
                sequence = self._take_sequences(1)
                self._send(_pack(request, request.flags | REQUEST | _DUMP, sequence))
                answers = self._dump_parts(sequence, doing)
            if answers is not None:
                return answers
        raise KernelError(errno.EINTR, f"it changed during each of {_DUMP_TRIES} readings", doing)

    def _dump_parts(self, sequence: int, doing: str) -> list[Answer] | None:
        answers: list[Answer] = []
        interrupted = False
        while True:
            for message in self._receive(sequence, sequence):
                interrupted = interrupted or bool(message.flags & _DUMP_INTERRUPTED)
                if message.kind in (_ERROR, _DONE):
                    if (refusal := _refusal(message, 0)) and refusal.errno != errno.EINTR:
                        raise KernelError(refusal.errno, describe(refusal), doing)
                    return None if interrupted or refusal else answers
                answers.append(_answer(message, 0))

    def _refusals(self, first: int, last: int) -> list[Refusal]:
        refusals: list[Refusal] = []
        flags = 0
        while True:
            try:
                messages = self._receive(first, last, flags)
            except BlockingIOError:
                if flags:
                    return refusals
                raise
            for message in messages:
                if refusal := _refusal(message, message.sequence - first - 1):
                    refusals.append(refusal)
                elif message.sequence == last and not refusals:
                    return refusals
            if refusals:
                flags = socket.MSG_DONTWAIT

    def _take_sequences(self, count: int) -> int:
        if self._sequence > 0x7FFF_FFFF - count:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    def _send(self, data: bytes) -> None:
        if len(data) > self._sendable - 1024:
            self._grow(len(data) + 4096)
        self._sock.send(data)

    def _grow(self, size: int) -> None:
        # One transaction is one send, whatever the size; FORCE passes the limit in net.core.wmem_max.
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
        except PermissionError:  # in a user namespace before Linux 5.16
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        self._sendable = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2

    def _receive(self, first: int, last: int, flags: int = 0) -> list[_Message]:
        """Take one datagram apart; answers to an exchange that was given up earlier are left out."""
        size = self._sock.recv_into(self._buffer, 0, flags)
        data = memoryview(self._buffer[:size].tobytes())
        messages: list[_Message] = []
        offset = 0
        while offset + 16 <= size:
            length, kind, bits, sequence, _ = _HEADER.unpack_from(data, offset)
            if length < 16:
                break
            if first <= sequence <= last:
                messages.append(_Message(kind, bits, sequence, data[offset + 16 : offset + length]))
            offset += (length + 3) & ~3
        return messages


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    sock.bind((0, 0))
    sock.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    sock.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    # In the kernel and not with settimeout, which would poll before each call.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _ANSWER_WITHIN_S, 0))
    return sock


def _answer(message: _Message, place: int) -> Answer:
    return Answer(place, message.kind, message.body[0], message.body[4:])


def _refusal(message: _Message, place: int) -> Refusal | None:
    if message.kind not in (_ERROR, _DONE) or len(message.body) < 4:
        return None
    (code,) = struct.unpack_from("=i", message.body)
    if not code:
        return None
    text, offset = "", 0
    if message.flags & _ACK_TLVS:
        extra = 4
        if message.kind == _ERROR:
            extra += 16 if message.flags & _CAPPED else struct.unpack_from("=I", message.body, 4)[0]
        found = attributes(message.body[(extra + 3) & ~3 :])
        text = text_of(found.get(1, b""))
        offset = struct.unpack("=I", found[2])[0] if 2 in found else 0
    return Refusal(place, -code, text, offset)


def describe(refusal: Refusal) -> str:
    """Say a refusal in words: the kernel's own when it has any."""
    text = os.strerror(refusal.errno)
    return f"{text}: {refusal.text}" if refusal.text else text
