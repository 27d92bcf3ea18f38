"""A socket whose other end is a script, where the kernel would be hard to move to say such things."""

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable

ERROR, DONE = 2, 3
CAPPED, TLVS, INTERRUPTED = 0x100, 0x200, 0x10

Reply = Callable[[list[int]], bytes]


def message(kind: int, sequence: int, body: bytes = b"", flags: int = 0) -> bytes:
    data = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
    return data + bytes(-len(data) % 4)


def error(sequence: int, number: int, text: str = "", offset: int | None = None) -> bytes:
    """Refuse, or with number 0 acknowledge, as the kernel does with its answers capped."""
    tlvs = b""
    if text:
        raw = text.encode() + b"\0"
        tlvs += struct.pack("=HH", 4 + len(raw), 1) + raw + bytes(-len(raw) % 4)
    if offset is not None:
        tlvs += struct.pack("=HHI", 8, 2, offset)
    body = struct.pack("=i", -number) + struct.pack("=IHHII", 16, 0, 0, sequence, 0) + tlvs
    return message(ERROR, sequence, body, CAPPED | (TLVS if tlvs else 0))


class ScriptedSocket:
    """For each send a list of replies, each made from the sequence numbers that were sent, or an errno."""

    def __init__(self, *script: Iterable[Reply | int]) -> None:
        self._script = deque(list(replies) for replies in script)
        self._waiting: deque[Reply | int] = deque()
        self.sent: list[list[tuple[int, int]]] = []  # per send: kind and flags of each message
        self._sequences: list[int] = []

    def setsockopt(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, data: bytes) -> int:
        offset, kinds = 0, []
        self._sequences = []
        while offset < len(data):
            size, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
            kinds.append((kind, flags))
            self._sequences.append(sequence)
            offset += size
        self.sent.append(kinds)
        self._waiting = deque(self._script.popleft())
        return len(data)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        reply = self._waiting.popleft()
        if isinstance(reply, int):
            raise OSError(reply, os.strerror(reply))
        return reply(self._sequences)
