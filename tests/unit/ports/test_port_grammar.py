from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ductwork.errors import InvalidArgument
from ductwork.model.port_mapping import PortRequest, Protocol
from ductwork.plan.port_grammar import expand, parse_ports

UDP, SCTP = Protocol.UDP, Protocol.SCTP
LOCAL, SIX = ip_address("127.0.0.1"), ip_address("fd00::1")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        # the container's port alone: the host's is chosen
        ("80", PortRequest(80)),
        ("80/tcp", PortRequest(80)),
        ("80/UDP", PortRequest(80, protocol=UDP)),
        ("80/sctp", PortRequest(80, protocol=SCTP)),
        ("80/", PortRequest(80)),
        ("080", PortRequest(80)),
        ("65535", PortRequest(65535)),
        ("3000-3002", PortRequest(3000, 3)),
        ("80-80", PortRequest(80)),
        # host port
        ("8080:80", PortRequest(80, 1, None, 8080, 8080)),
        ("53:53/udp", PortRequest(53, 1, None, 53, 53, UDP)),
        ("0:80", PortRequest(80)),
        ("0-0:80", PortRequest(80)),
        (":80", PortRequest(80)),
        ("8000-8002:9000-9002", PortRequest(9000, 3, None, 8000, 8002)),
        ("8000-8002:9000-9002/udp", PortRequest(9000, 3, None, 8000, 8002, UDP)),
        ("8000-8005:80", PortRequest(80, 1, None, 8000, 8005)),
        ("8000-8005:80-80", PortRequest(80, 1, None, 8000, 8005)),
        ("0:3000-3002", PortRequest(3000, 3)),
        # address
        ("127.0.0.1:8080:80", PortRequest(80, 1, LOCAL, 8080, 8080)),
        ("127.0.0.1::80", PortRequest(80, 1, LOCAL)),
        ("127.0.0.1:0:80", PortRequest(80, 1, LOCAL)),
        ("127.0.0.1::80-81/udp", PortRequest(80, 2, LOCAL, protocol=UDP)),
        ("127.0.0.1:8000-8001:80-81", PortRequest(80, 2, LOCAL, 8000, 8001)),
        ("127.0.0.1:8000-8001:80", PortRequest(80, 1, LOCAL, 8000, 8001)),
        ("0.0.0.0:8080:80", PortRequest(80, 1, ip_address("0.0.0.0"), 8080, 8080)),
        ("::80", PortRequest(80)),
        (":8080:80", PortRequest(80, 1, None, 8080, 8080)),
        ("[fd00::1]:8080:80", PortRequest(80, 1, SIX, 8080, 8080)),
        ("[fd00::1]::80/udp", PortRequest(80, 1, SIX, protocol=UDP)),
        ("[::]:8080:80", PortRequest(80, 1, ip_address("::"), 8080, 8080)),
        # long form
        ("published=8080,target=80", PortRequest(80, 1, None, 8080, 8080)),
        ("published=8080,target=80,protocol=udp", PortRequest(80, 1, None, 8080, 8080, UDP)),
        ("target=80", PortRequest(80)),
        ("target=80,published=0", PortRequest(80)),
        ("target=80,published=8000-8005", PortRequest(80, 1, None, 8000, 8005)),
        ("target=80-81,published=8000-8001", PortRequest(80, 2, None, 8000, 8001)),
        ("mode=host,target=80,published=8080,name=web", PortRequest(80, 1, None, 8080, 8080)),
        ("target=80,published=127.0.0.1:8080", PortRequest(80, 1, LOCAL, 8080, 8080)),
        ("target=80,published=8080,host_ip=127.0.0.1", PortRequest(80, 1, LOCAL, 8080, 8080)),
        ("target=80,host_ip=fd00::1", PortRequest(80, 1, SIX)),
        ("Target=80,Protocol=UDP", PortRequest(80, protocol=UDP)),
    ],
)
def test_every_form(text: str, request_: PortRequest) -> None:
    assert parse_ports(text) == [request_]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the container port is missing"),
        (":", "the container port is missing"),
        ("/tcp", "the container port is missing"),
        ("8080:", "the container port is missing"),
        ("8080:/udp", "the container port is missing"),
        ("80-", "the container port is missing"),
        ("-80", "the container port is missing"),
        ("-80:80", "the host port is missing"),
        ("80-:80", "the host port is missing"),
        ("web", "container port 'web' is not a number"),
        ("8080:web", "container port 'web' is not a number"),
        ("web:80", "host port 'web' is not a number"),
        ("+80", r"container port '\+80' is not a number"),
        (" 80", "container port ' 80' is not a number"),
        ("8_0", "container port '8_0' is not a number"),
        ("８０", "is not a number"),
        ("1-2-3", "container port '2-3' is not a number"),
        ("0", "container port 0 is not in 1–65535"),
        ("8080:0", "container port 0 is not in 1–65535"),
        ("65536", "container port 65536 is not in 1–65535"),
        ("65536:80", "host port 65536 is not in 1–65535"),
        ("0-5:80", "host port 0 is not in 1–65535"),
        ("9" * 5000, "container port 99999"),
        ("65530-65540", "container port 65540 is not in"),
        ("90-80", "container range 90-80 runs backwards; write 80-90"),
        ("90-80:80", "host range 90-80 runs backwards"),
        (
            "8000-8005:9000-9002",
            "6 ports on the host .* 3 ports of the container .*; make both ranges equally",
        ),
        ("8000:9000-9002", "1 port on the host .* 3 ports of the container"),
        ("80/icmp", "protocol 'icmp' is unknown; use tcp, udp or sctp"),
        ("80/tcp/udp", "protocol 'tcp/udp' is unknown"),
        ("localhost:80:80", "host address 'localhost' is not an IPv4 or IPv6 address"),
        ("300.0.0.1:80:80", "host address '300.0.0.1' is not"),
        ("1.2.3.4:5:6:7", "host address '1.2.3.4:5' is not"),
        ("::1:8080:80", r"IPv6 address ::1 needs brackets; write \[::1\]:HOST:CONTAINER"),
        ("[::1]:80", r"after the address \[::1\] a host port is missing; write \[::1\]::80"),
        ("[::1]", "container port '1]' is not a number"),
        ("[127.0.0.1]:80:80", "IPv4 address 127.0.0.1 must not have brackets"),
        ("[fe80::1%eth0]:80:80", "has a zone"),
        ("published=8080", "target is missing"),
        ("published=8080,target=", "target is missing"),
        ("published=8080,target=80,udp", "'udp' is not of the form key=value"),
        ("=8080,target=80", "'=8080' is not of the form key=value"),
        ("target=80/udp", "target '80/udp' is not a plain value"),
        ("target=80:80", "target '80:80' is not a plain value"),
        ("target=80,protocol=icmp", "protocol 'icmp' is unknown"),
        ("target=80,published=x", "host port 'x' is not a number"),
    ],
)
def test_every_mistake_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^port mapping .*: .*{words}") as caught:
        parse_ports(text)
    assert caught.value.hint
    assert len(caught.value.message) < 300


def test_sources_are_kept() -> None:
    sources = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert parse_ports("8080:80", sources) == [PortRequest(80, 1, None, 8080, 8080, allow_from=sources)]
    assert parse_ports("8080:80", list(sources))[0].allow_from == sources


@pytest.mark.parametrize(
    ("text", "each"),
    [
        ("8000-8002:9000-9002", [(8000, 8000, 9000), (8001, 8001, 9001), (8002, 8002, 9002)]),
        ("8000-8005:80", [(8000, 8005, 80)]),
        ("3000-3001", [(None, None, 3000), (None, None, 3001)]),
        ("8080:80", [(8080, 8080, 80)]),
    ],
)
def test_expand_makes_one_request_for_each_port(
    text: str, each: list[tuple[int | None, int | None, int]]
) -> None:
    expanded = expand(parse_ports(text))
    assert [(r.host_port, r.host_port_end, r.container_port) for r in expanded] == each
    assert {r.count for r in expanded} == {1}


def test_expand_keeps_everything_else() -> None:
    (request,) = parse_ports("127.0.0.1:8000-8001:80-81/udp", (ip_network("10.0.0.0/8"),))
    for one in expand([request]):
        assert (one.host_ip, one.protocol, one.allow_from) == (LOCAL, UDP, request.allow_from)


PIECES = st.sampled_from(
    [
        "80",
        "0",
        "65535",
        "65536",
        "-",
        ":",
        "::",
        "[",
        "]",
        "/",
        "tcp",
        "udp",
        "=",
        ",",
        "target",
        "published",
        "host_ip",
        "127.0.0.1",
        "::1",
        "%",
        "fe80::1%1",
        "protocol",
    ]
)


@given(st.text() | st.lists(PIECES, max_size=10).map("".join))
@example("target=1,host_ip=1/2")
def test_any_text_is_read_or_refused_as_invalid(text: str) -> None:
    try:
        requests = parse_ports(text)
    except InvalidArgument:
        return
    for request in expand(requests):
        assert 1 <= request.container_port <= 65535 and request.count == 1
        if request.host_port is not None:
            assert request.host_port_end is not None
            assert 1 <= request.host_port <= request.host_port_end <= 65535


PORTS = st.integers(1, 65000)


@given(PORTS, PORTS, st.integers(1, 500), st.sampled_from(list(Protocol)), st.none() | st.ip_addresses())
def test_what_is_written_is_read(
    host: int, container: int, count: int, protocol: Protocol, ip: object
) -> None:
    prefix = "" if ip is None else f"[{ip}]:" if ":" in str(ip) else f"{ip}:"
    text = f"{prefix}{host}-{host + count - 1}:{container}-{container + count - 1}/{protocol}"
    (request,) = parse_ports(text)
    assert request == PortRequest(container, count, ip, host, host + count - 1, protocol)  # type: ignore[arg-type]
    assert len(expand([request])) == count
