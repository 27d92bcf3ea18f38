"""A netlink socket: batches out, refusals and answers back, whole dumps, and events.

The kernel handles a batch inside the send call and queues what it has to say. Only the last message asks to
be acknowledged: whatever fails is reported anyway, so a batch that succeeds costs one send and one receive.
Source: linux/netlink.h, net/netlink/af_netlink.c, Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ductwork.kernel.netlink.codec import Request, attributes, name_at
from ductwork.kernel.netlink.tables import LAYOUT
from ductwork.kernel.ports import KernelError

BATCH: Final = 128  # with more the answers may not fit into the socket's queue (ENOBUFS)

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_DUMP_INTERRUPTED = 0x10
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ERROR, _DONE = 2, 3
_TEXT, _OFFSET = 1, 2  # NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK, _GET_STRICT = 270, 1, 10, 11, 12
_SO_RCVBUFFORCE = 33
_HEADER = struct.Struct("=IHHII")
_pack_header = _HEADER.pack
_QUEUE_BYTES = 1 << 20  # a bound, not an amount: memory is taken when answers wait
_RECEIVE_BYTES = 1 << 16  # parts of a dump have at most 32 KiB
_ANSWER_WITHIN_S = 10
_DUMP_TRIES = 20
_NOTHING = memoryview(b"")


class Refusal(NamedTuple):
    """One error; `place` is the refused request's.

    Attributes:
        text: the kernel's extended ack, `attribute` the one it found at fault; both may be empty.
    """

    place: int
    errno: int
    text: str
    attribute: str

    def words(self) -> str:
        """Say it in words."""
        text = os.strerror(self.errno)
        if self.text:
            text = f"{text}: {self.text}"
        return f"{text} ({self.attribute})" if self.attribute else text


class Message(NamedTuple):
    """One message from the kernel."""

    kind: int
    flags: int
    sequence: int
    body: memoryview


class NetlinkSocket:
    """An rtnetlink socket that lives in one namespace and serves any thread, one exchange at a time.

    Raises:
        OSError: of every method: the kernel could not be asked, or its answer was lost (ENOBUFS) or did not
            come (EAGAIN): the outcome is unknown.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK, _GET_STRICT):
            sock.setsockopt(_SOL_NETLINK, option, 1)
        # In the kernel and not with settimeout, which would poll before each call.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _ANSWER_WITHIN_S, 0))
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
        except PermissionError:  # in a user namespace the limit in net.core.rmem_max holds
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)

    def close(self) -> None:
        """Close the socket; a second time is harmless."""
        self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on for events."""
        return self._sock.fileno()

    def exchange(self, requests: Sequence[Request]) -> list[Refusal]:
        """Send changes in order, in as few sends as possible; say which were refused."""
        refusals: list[Refusal] = []
        with self._lock:
            for start in range(0, len(requests), BATCH):
                self._exchange_some(requests[start : start + BATCH], start, refusals)
        return refusals

    def _exchange_some(self, requests: Sequence[Request], start: int, refusals: list[Refusal]) -> None:
        first = self._take_sequences(len(requests))
        last = first + len(requests) - 1
        parts: list[bytes] = []
        for sequence, (kind, flags, body) in enumerate(requests, first):
            more = _REQUEST | _ACK if sequence == last else _REQUEST
            parts += (_pack_header(16 + len(body), kind, flags | more, sequence, 0), body)
        self._sock.send(b"".join(parts))
        while True:
            for message in self._receive(first, last):
                if message.kind == _ERROR:
                    request = requests[message.sequence - first]
                    refusal = _refusal(message, message.sequence - first + start, request)
                    if refusal is not None:
                        refusals.append(refusal)
                    if message.sequence == last:
                        return

    def ask(self, requests: Sequence[Request]) -> list[memoryview | Refusal]:
        """Send questions for single objects together; each has one answer, at its place."""
        answers: list[memoryview | Refusal] = []
        with self._lock:
            for start in range(0, len(requests), BATCH):
                answers += self._ask_some(requests[start : start + BATCH], start)
        return answers

    def _ask_some(self, requests: Sequence[Request], start: int) -> list[memoryview | Refusal]:
        first = self._take_sequences(len(requests))
        last = first + len(requests) - 1
        self._sock.send(
            b"".join(
                _pack_header(16 + len(body), kind, flags | _REQUEST, sequence, 0) + body
                for sequence, (kind, flags, body) in enumerate(requests, first)
            )
        )
        answers: list[memoryview | Refusal] = [_NOTHING] * len(requests)
        waiting = len(requests)
        while waiting:
            for message in self._receive(first, last):
                waiting -= 1
                at = message.sequence - first
                refusal = _refusal(message, start + at, requests[at]) if message.kind == _ERROR else None
                answers[at] = message.body if refusal is None else refusal
        return answers

    def dump(self, request: Request, doing: str) -> list[memoryview]:
        """Read a whole list; start again when it changed meanwhile.

        Raises:
            KernelError: the kernel refused, or the list never stood still.
        """
        kind, flags, body = request
        for _ in range(_DUMP_TRIES):
            with self._lock:
                sequence = self._take_sequences(1)
                self._sock.send(
                    _pack_header(16 + len(body), kind, flags | _REQUEST | _DUMP, sequence, 0) + body
                )
                bodies = self._dump_parts(sequence, request, doing)
            if bodies is not None:
                return bodies
        raise KernelError(errno.EINTR, f"it changed during each of {_DUMP_TRIES} readings", doing)

    def _dump_parts(self, sequence: int, request: Request, doing: str) -> list[memoryview] | None:
        bodies: list[memoryview] = []
        interrupted = 0
        while True:
            for message in self._receive(sequence, sequence):
                interrupted |= message.flags & _DUMP_INTERRUPTED
                if message.kind not in (_ERROR, _DONE):
                    bodies.append(message.body)
                    continue
                refusal = _refusal(message, 0, request)
                if refusal is not None and refusal.errno != errno.EINTR:
                    raise KernelError(refusal.errno, refusal.words(), doing)
                return None if interrupted or refusal else bodies

    def subscribe(self, *groups: int) -> None:
        """Let events of multicast groups come in; use a socket of its own for it."""
        for group in groups:
            self._sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def events(self) -> Iterator[Message]:
        """Take what came in since, without waiting.

        Raises:
            OSError: with ENOBUFS, events were lost: look at everything anew.
        """
        while True:
            try:
                data = self._sock.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from _messages(data, 0, 0xFFFF_FFFF)

    def _take_sequences(self, count: int) -> int:
        if self._sequence > 0x7FFF_FFFF - count:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    def _receive(self, first: int, last: int) -> list[Message]:
        return _messages(self._sock.recv(_RECEIVE_BYTES), first, last)


def _messages(data: bytes, first: int, last: int) -> list[Message]:
    """Take one datagram apart; answers to an exchange that was given up earlier are left out."""
    view, size = memoryview(data), len(data)
    found: list[Message] = []
    offset = 0
    while offset + 16 <= size:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            break
        if first <= sequence <= last:
            found.append(Message(kind, flags, sequence, view[offset + 16 : offset + length]))
        offset += (length + 3) & ~3
    return found


def _refusal(message: Message, place: int, request: Request) -> Refusal | None:
    """Read an error message, or the end of a dump; None when it says that all is well."""
    body = message.body
    (code,) = struct.unpack_from("=i", body) if len(body) >= 4 else (0,)
    if not code:
        return None
    text, bad = "", ""
    if message.flags & _ACK_TLVS:
        start = 4
        if message.kind == _ERROR:
            # The refused message's header follows, and unless it is capped, all of it.
            start += 16 if message.flags & _CAPPED else struct.unpack_from("=I", body, 4)[0]
        found = attributes(body, (start + 3) & ~3)
        text = bytes(found.get(_TEXT, b"")).rstrip(b"\0").decode("utf-8", "replace")
        if _OFFSET in found and request.kind in LAYOUT:
            header, table = LAYOUT[request.kind]
            (offset,) = struct.unpack_from("=I", found[_OFFSET])
            bad = name_at(table, memoryview(request.body), header, offset - 16)
    return Refusal(place, -code, text, bad)


def raw_socket() -> socket.socket:
    """Open an rtnetlink socket in the calling thread's namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.bind((0, 0))
    return sock
