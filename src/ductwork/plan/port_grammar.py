"""Docker's `-p` grammar: what people write for a published port, read into requests.

Forms: [[IP:][HOST[-END]]:]CONTAINER[-END][/tcp|udp|sctp], and published=…,target=…,protocol=….
Whether a port is free or an address belongs to the host is not checked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from ductwork.errors import InvalidArgument
from ductwork.model.addresses import IPAddress, IPNetwork
from ductwork.model.port_mapping import PortRequest, Protocol

MAX_PORT = 65535
_SHOWN_CHARS = 80
_FORM = "write [IP:][HOST:]CONTAINER[/tcp|udp|sctp], for example 8080:80 or 127.0.0.1:5353:53/udp"
_LONG_FORM = "write published=8080,target=80,protocol=tcp"


def parse_ports(text: str, allow_from: Iterable[IPNetwork] = ()) -> list[PortRequest]:
    """Read one `-p` value.

    A container range with a host range of equal length is one request with a count; one container port with
    a host range asks for any free port of that range; without a host port, or with 0, the host chooses.

    Raises:
        InvalidArgument: the message names the wrong part, the hint the right form.
    """
    sources = tuple(allow_from)
    short = _short_form(text) if "=" in text else text
    ports, _, word = short.partition("/")
    protocol = _protocol(text, word or "tcp")
    rest, _, container_text = ports.rpartition(":")
    ip_text, colon, host_text = rest.rpartition(":")
    # "[::1]:80" has an address and nothing for the host port, where "[::1]::80" is meant.
    if rest.endswith("]"):
        raise _wrong(
            text, f"after the address {rest} a host port is missing", f"write {rest}::{container_text}"
        )
    first, last = _range(text, container_text, "container", lowest=1)
    count = last - first + 1
    host_ip = _host_ip(text, ip_text) if colon and ip_text else None
    request = PortRequest(first, count, host_ip, None, None, protocol, sources)
    if not host_text or _is_zero(host_text):
        return [request]
    host_first, host_last = _range(text, host_text, "host", lowest=1)
    width = host_last - host_first + 1
    if count not in {1, width}:
        raise _wrong(
            text,
            f"{_count(width)} on the host ({host_text}) cannot stand for {_count(count)} of the container"
            f" ({container_text})",
            "make both ranges equally long",
        )
    return [replace(request, host_port=host_first, host_port_end=host_last)]


def expand(requests: Iterable[PortRequest]) -> list[PortRequest]:
    """Write requests of several ports as one request for each port."""
    result: list[PortRequest] = []
    for request in requests:
        if request.count == 1:
            result.append(request)
        else:
            result += [_nth(request, offset) for offset in range(request.count)]
    return result


def _nth(request: PortRequest, offset: int) -> PortRequest:
    host_port = None if request.host_port is None else request.host_port + offset
    return replace(
        request,
        container_port=request.container_port + offset,
        count=1,
        host_port=host_port,
        host_port_end=host_port,
    )


def _short_form(text: str) -> str:
    """Turn the long form into the short one; keys without a meaning for us are ignored, as Docker does."""
    values = {"published": "", "protocol": "tcp", "host_ip": ""}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise _wrong(text, f"{part!r} is not of the form key=value", _LONG_FORM)
        values[key.strip().lower()] = value.strip()
    if not values.get("target"):
        raise _wrong(text, "target is missing, the container's port", _LONG_FORM)
    for key in ("target", "protocol"):
        if ":" in values[key] or "/" in values[key]:
            raise _wrong(text, f"{key} {values[key]!r} is not a plain value", _LONG_FORM)
    ip = values["host_ip"]
    # Compose's key. Ignoring it would open to everybody what was meant for one address.
    prefix = "" if not ip else f"[{ip}]:" if ":" in ip and not ip.startswith("[") else f"{ip}:"
    return f"{prefix}{values['published']}:{values['target']}/{values['protocol']}"


def _protocol(text: str, word: str) -> Protocol:
    try:
        return Protocol(word.lower())
    except ValueError:
        raise _wrong(text, f"protocol {word!r} is unknown", "use tcp, udp or sctp") from None


def _host_ip(text: str, ip_text: str) -> IPAddress:
    bracketed = ip_text.startswith("[") and ip_text.endswith("]")
    bare = ip_text[1:-1] if bracketed else ip_text
    try:
        address = ip_address(bare)
    except ValueError:
        raise _wrong(text, f"host address {ip_text!r} is not an IPv4 or IPv6 address", _FORM) from None
    if isinstance(address, IPv6Address):
        if not bracketed:
            raise _wrong(text, f"IPv6 address {bare} needs brackets", f"write [{bare}]:HOST:CONTAINER")
        if address.scope_id is not None:
            raise _wrong(
                text,
                f"host address {bare} has a zone",
                "use an address that is not link-local, without a zone",
            )
    elif bracketed:
        raise _wrong(text, f"IPv4 address {bare} must not have brackets", _FORM)
    return address


def _range(text: str, part: str, what: str, lowest: int) -> tuple[int, int]:
    first_text, dash, last_text = part.partition("-")
    first = _port(text, first_text, what, lowest)
    last = _port(text, last_text, what, lowest) if dash else first
    if last < first:
        raise _wrong(text, f"{what} range {part} runs backwards", f"write {last_text}-{first_text}")
    return first, last


def _port(text: str, digits: str, what: str, lowest: int) -> int:
    if not digits:
        raise _wrong(text, f"the {what} port is missing", _FORM)
    # Only plain digits: int() would also take signs, blanks, underscores and the digits of other scripts.
    if not (digits.isascii() and digits.isdigit()):
        raise _wrong(text, f"{what} port {digits!r} is not a number", _FORM)
    short = digits.lstrip("0") or "0"
    number = int(short) if len(short) <= len(str(MAX_PORT)) else MAX_PORT + 1
    if not lowest <= number <= MAX_PORT:
        raise _wrong(text, f"{what} port {digits[:20]} is not in {lowest}–{MAX_PORT}", _FORM)
    return number


def _is_zero(host_text: str) -> bool:
    return all(part and not part.strip("0") for part in host_text.split("-", 1))


def _count(number: int) -> str:
    return "1 port" if number == 1 else f"{number} ports"


def _wrong(text: str, why: str, hint: str) -> InvalidArgument:
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    return InvalidArgument(f"port mapping {shown!r}: {why}", hint=hint, subject="port", name=shown)
