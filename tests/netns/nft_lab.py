"""What nft and conntrack tests share: the way into a namespace, our sets as text, and nft's own view."""

import ctypes
import json
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from tests.lab import Namespace

from ductwork.kernel.enter import Enter
from ductwork.model.nft_schema import FAMILY, SCHEMAS, SETS, TABLE, FieldType, SetSchema
from ductwork.model.objects import HOST, NftElement, NftField, Ruleset, Verdict

T = TypeVar("T")

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_of(space: Namespace) -> Enter:
    """Run each callable in a fresh thread that has moved into the namespace."""

    def enter(work: Callable[[], T], /) -> T:
        answer: Future[T] = Future()

        def inside() -> None:
            try:
                fd = os.open(space.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if _libc.setns(fd, _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(fd)
                answer.set_result(work())
            except BaseException as error:  # carried to the test, which waits for it
                answer.set_exception(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        return answer.result()

    return enter


def sets_text(schemas: Iterable[SetSchema] = SCHEMAS, comment: str = "ductwork host test") -> str:
    """Our table with nothing but its sets, and one chain for verdicts to name."""
    lines = [f'table {FAMILY} {TABLE} {{ comment "{comment}"', "chain target { }"]
    for schema in schemas:
        value = " : verdict" if schema.verdict else f" : {' . '.join(schema.value)}" if schema.value else ""
        flags = "flags interval;" if schema.interval else ""
        kind = "map" if schema.is_map else "set"
        lines.append(f"{kind} {schema.name} {{ type {' . '.join(schema.key)}{value}; {flags} }}")
    return "\n".join([*lines, "}"])


SETS_ONLY = Ruleset(HOST, "test", sets_text())


def element(name: str, *key: NftField, value: tuple[NftField, ...] | Verdict | None = None) -> NftElement:
    """Make an element in few words; text that looks like an address or a network becomes one."""
    typed = (
        None if value is None else value if isinstance(value, Verdict) else _typed(SETS[name].value, value)
    )
    return NftElement(HOST, name, _typed(SETS[name].key, key), typed)


def _typed(types: tuple[FieldType, ...], fields: tuple[NftField, ...]) -> tuple[NftField, ...]:
    return tuple(_field(kind, field) for kind, field in zip(types, fields, strict=True))


def _field(kind: FieldType, field: Any) -> NftField:
    """Read one field as nft prints it in JSON."""
    if isinstance(field, dict):
        field = f"{field['prefix']['addr']}/{field['prefix']['len']}"
    match kind, field:
        case "ipv4_addr", str():
            return IPv4Network(field) if "/" in field else IPv4Address(field)
        case "ipv6_addr", str():
            return IPv6Network(field) if "/" in field else IPv6Address(field)
        case _:
            return field  # type: ignore[no-any-return]


def _fields(types: tuple[FieldType, ...], printed: Any) -> tuple[NftField, ...]:
    return _typed(types, tuple(printed["concat"]) if len(types) > 1 else (printed,))


def listed(space: Namespace, name: str) -> set[NftElement]:
    """Read a set as the nft command sees it."""
    schema = SETS[name]
    kind = "map" if schema.is_map else "set"
    shown = json.loads(space.run("nft", "-j", "-nn", "list", kind, FAMILY, TABLE, name).stdout)
    (found,) = (entry[kind] for entry in shown["nftables"] if kind in entry)
    elements = set()
    for printed in found.get("elem", []):
        key, value = printed if schema.is_map else (printed, None)
        elements.add(NftElement(HOST, name, _fields(schema.key, key), _listed_value(schema, value)))
    return elements


def _listed_value(schema: SetSchema, printed: Any) -> tuple[NftField, ...] | Verdict | None:
    if schema.verdict:
        ((code, target),) = printed.items()
        return Verdict(code, target["target"] if target else "")
    return _fields(schema.value, printed) if schema.value else None


def as_text(made: NftElement) -> str:
    """Write an element in nft's language; link names must be harmless here."""
    text = " . ".join(_word(kind, field) for kind, field in zip(SETS[made.set].key, made.key, strict=True))
    if isinstance(made.value, Verdict):
        return f"{text} : {made.value.code} {made.value.chain}".rstrip()
    if made.value is None:
        return text
    words = (_word(kind, field) for kind, field in zip(SETS[made.set].value, made.value, strict=True))
    return f"{text} : {' . '.join(words)}"


def _word(kind: FieldType, field: NftField) -> str:
    return f'"{field}"' if kind == "ifname" else str(field)


def add_by_nft(space: Namespace, elements: Iterable[NftElement]) -> None:
    """Add elements of one set through the nft command."""
    many = list(elements)
    words = ", ".join(as_text(made) for made in many)
    space.run("nft", "-f", "-", stdin=f"add element {FAMILY} {TABLE} {many[0].set} {{ {words} }}\n")
