"""Netlink attributes as tables: each attribute knows its number, its type, and how to write and read itself.

A table is a class whose members are attributes; the tables themselves are in `tables.py`. Writing is on the
path of every attach, so each attribute holds its packer ready and nothing is looked up by name.
Source: linux/netlink.h; all integers are in the machine's byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

from ductwork.model.addresses import IPAddress

T = TypeVar("T")

Attributes: TypeAlias = Mapping[int, memoryview]

_HEADER = struct.Struct("=HH")
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Request(NamedTuple):
    """One message without its netlink header: message type, flags, and the family header with attributes."""

    kind: int
    flags: int
    body: bytes


def frame(kind: int, value: bytes) -> bytes:
    """Put an attribute's header before its value, and pad to four bytes."""
    size = len(value)
    return _pack_header(size + 4, kind) + value + _PADDING[size & 3]


def each_attribute(data: memoryview, start: int = 0) -> Iterator[tuple[int, int, memoryview]]:
    """Walk attributes in order: offset, number without flag bits, value. A broken one ends the walk."""
    offset, end = start, len(data)
    while offset + 4 <= end:
        size, kind = _unpack_header(data, offset)
        if size < 4 or offset + size > end:
            return
        yield offset, kind & _TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def attributes(data: memoryview, start: int = 0) -> dict[int, memoryview]:
    """Collect attributes by number."""
    found: dict[int, memoryview] = {}
    offset, end = start, len(data)
    while offset + 4 <= end:
        size, kind = _unpack_header(data, offset)
        if size < 4 or offset + size > end:
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return found


class Attribute(Generic[T]):
    """One attribute of a table; its name is the member's, with the table's prefix."""

    __slots__ = ("kind", "name")

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.name = ""

    def __set_name__(self, owner: type[Table], name: str) -> None:
        self.name = owner.prefix + name

    def encode(self, value: T) -> bytes:
        """Write the whole attribute."""
        raise NotImplementedError

    def decode(self, data: memoryview) -> T:
        """Read a value without its header."""
        raise NotImplementedError

    def find(self, among: Attributes) -> T | None:
        """Read the attribute if it is there."""
        data = among.get(self.kind)
        return None if data is None else self.decode(data)

    def get(self, among: Attributes, default: T) -> T:
        """Read the attribute, or say what its absence means."""
        data = among.get(self.kind)
        return default if data is None else self.decode(data)


class Table:
    """Attributes that belong together: the members of a subclass, by number in `members`."""

    prefix: ClassVar[str] = ""
    members: ClassVar[dict[int, Attribute[object]]] = {}

    def __init_subclass__(cls) -> None:
        cls.members = {item.kind: item for item in vars(cls).values() if isinstance(item, Attribute)}


class _Number(Attribute[int]):
    """An integer of one size."""

    __slots__ = ("_pack", "_size", "_unpack")
    _format: ClassVar[str]

    def __init__(self, kind: int) -> None:
        super().__init__(kind)
        size = struct.calcsize("=" + self._format)
        packer = struct.Struct(f"=HH{self._format}{-size & 3}x")
        self._size = size + 4
        self._pack: Callable[..., bytes] = packer.pack
        self._unpack: Callable[[memoryview], tuple[int, ...]] = struct.Struct("=" + self._format).unpack_from

    def encode(self, value: int) -> bytes:
        """Write the number."""
        return self._pack(self._size, self.kind, value)

    def decode(self, data: memoryview) -> int:
        """Read the number."""
        return self._unpack(data)[0]


class U8(_Number):
    """One byte."""

    __slots__ = ()
    _format = "B"


class U16(_Number):
    """Two bytes."""

    __slots__ = ()
    _format = "H"


class U32(_Number):
    """Four bytes."""

    __slots__ = ()
    _format = "I"


class Text(Attribute[str]):
    """A NUL-terminated string; bytes that are not UTF-8 survive a round trip."""

    __slots__ = ()

    def encode(self, value: str) -> bytes:
        """Write the text and its NUL."""
        return frame(self.kind, value.encode("utf-8", "surrogateescape") + b"\0")

    def decode(self, data: memoryview) -> str:
        """Read up to the NUL."""
        return bytes(data).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class Bytes(Attribute[bytes]):
    """Bytes as they are."""

    __slots__ = ()

    def encode(self, value: bytes) -> bytes:
        """Write them."""
        return frame(self.kind, value)

    def decode(self, data: memoryview) -> bytes:
        """Read them."""
        return bytes(data)


class Hardware(Attribute[str]):
    """A hardware address in the usual notation; those of tunnels may be shorter or longer than a MAC."""

    __slots__ = ()

    def encode(self, value: str) -> bytes:
        """Write the address."""
        return frame(self.kind, bytes.fromhex(value.replace(":", "")))

    def decode(self, data: memoryview) -> str:
        """Read the address."""
        return data.hex(":") if len(data) else ""


class Ip(Attribute[IPAddress]):
    """An address whose family shows in its length."""

    __slots__ = ()

    def encode(self, value: IPAddress) -> bytes:
        """Write the address."""
        return frame(self.kind, value.packed)

    def decode(self, data: memoryview) -> IPAddress:
        """Read the address."""
        return address(data)


class Nest(Attribute[bytes]):
    """Attributes inside an attribute.

    Args:
        table: what is inside, where it does not depend on something else in the message.
        header: bytes of a family header before the first one.
    """

    __slots__ = ("header", "table")

    def __init__(self, kind: int, table: type[Table] | None = None, header: int = 0) -> None:
        super().__init__(kind)
        self.table = table
        self.header = header

    def encode(self, value: bytes) -> bytes:
        """Write what the parts were encoded to."""
        return frame(self.kind | _NESTED, value)

    def decode(self, data: memoryview) -> bytes:
        """Read the parts as they are; `parts` takes them apart."""
        return bytes(data)

    def parts(self, among: Attributes) -> dict[int, memoryview]:
        """Take the parts apart; none when the attribute is not there."""
        data = among.get(self.kind)
        return {} if data is None else attributes(data, self.header)


def address(data: memoryview | bytes) -> IPAddress:
    """Read an address of either family."""
    return IPv4Address(bytes(data)) if len(data) == 4 else IPv6Address(bytes(data))


def name_at(table: type[Table] | None, data: memoryview, start: int, offset: int) -> str:
    """Name the attribute at an offset of a message, as an extended ack points to it; empty when unknown.

    An attribute inside others is named with them: IFLA_LINKINFO/IFLA_INFO_DATA.
    """
    for place, kind, value in each_attribute(data, start):
        if not place <= offset < place + 4 + len(value):
            continue
        member = table.members.get(kind) if table else None
        if member is None:
            return ""
        inner = ""
        if isinstance(member, Nest) and offset >= place + 4:
            inner = name_at(member.table, value, member.header, offset - place - 4)
        return f"{member.name}/{inner}" if inner else member.name
    return ""
