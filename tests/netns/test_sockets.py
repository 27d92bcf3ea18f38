from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import enter_of

from ductwork.kernel.enter import Enter
from ductwork.kernel.ports import KernelError, Listener
from ductwork.kernel.sockets import LocalSockets

HERE, ANY, LAN = ip_address("127.0.0.1"), ip_address("0.0.0.0"), ip_address("192.0.2.1")
SIX, ANY6 = ip_address("::1"), ip_address("::")


class Place:
    """A namespace in which a test holds sockets."""

    def __init__(self, space: Namespace, stack: ExitStack) -> None:
        self.enter: Enter = enter_of(space)
        self.sockets = LocalSockets(self.enter)
        self._stack = stack

    def hold(self, protocol: str, ip: str, port: int, *, dual: bool = False, reuse: bool = False) -> None:
        def open_it() -> socket.socket:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
            if reuse:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((ip, port))
            if protocol == "tcp":
                sock.listen()
            return sock

        self._stack.enter_context(self.enter(open_it))


@pytest.fixture
def place(lab: Lab) -> Iterator[Place]:
    space = lab.namespace("sockets")
    space.ip_batch("addr add 192.0.2.1/32 dev lo")
    with ExitStack() as stack:
        yield Place(space, stack)


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
@pytest.mark.parametrize("ip", [HERE, ANY, LAN, SIX, ANY6], ids=str)
def test_a_free_port_is_no_conflict(place: Place, protocol: str, ip: object) -> None:
    for _ in range(2):
        assert not place.sockets.bind_conflict(protocol, ip, 8080)  # type: ignore[arg-type]
    assert place.sockets.listeners(protocol, 8080) == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("held", "ip", "conflict"),
    [
        ("127.0.0.1", HERE, True),
        ("127.0.0.1", ANY, True),
        ("127.0.0.1", LAN, False),
        ("127.0.0.1", ANY6, False),
        ("0.0.0.0", LAN, True),
        ("0.0.0.0", ip_address("198.51.100.9"), True),
        ("0.0.0.0", ANY6, False),
        ("::1", ANY6, True),
        ("::1", HERE, False),
        ("::", SIX, True),
        ("::", ip_address("2001:db8::9"), True),
        ("::", ANY, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("reuse", [False, True], ids=["", "reuse"])
def test_a_socket_stands_in_the_way_of_what_it_covers(
    place: Place, *, protocol: str, held: str, ip: object, conflict: bool, reuse: bool
) -> None:
    place.hold(protocol, held, 8080, reuse=reuse)
    assert place.sockets.bind_conflict(protocol, ip, 8080) == conflict  # type: ignore[arg-type]
    assert not place.sockets.bind_conflict(protocol, ip, 8081)  # type: ignore[arg-type]
    assert not place.sockets.bind_conflict("tcp" if protocol == "udp" else "udp", ip, 8080)  # type: ignore[arg-type]


@pytest.mark.parametrize("reuse", [False, True])
def test_a_socket_for_both_families_stands_in_the_way_of_both(place: Place, reuse: bool) -> None:
    place.hold("tcp", "::", 8080, dual=True, reuse=reuse)
    assert place.sockets.bind_conflict("tcp", ANY, 8080)
    assert place.sockets.bind_conflict("tcp", LAN, 8080)
    assert place.sockets.bind_conflict("tcp", ANY6, 8080)


def test_an_address_that_no_interface_has_is_no_conflict(place: Place) -> None:
    assert not place.sockets.bind_conflict("tcp", ip_address("198.51.100.9"), 8080)
    assert not place.sockets.bind_conflict("udp", ip_address("2001:db8::9"), 8080)


def test_time_wait_is_no_conflict(place: Place, lab: Lab) -> None:
    def talk() -> str:
        with socket.create_server(("127.0.0.1", 8080)) as server:
            client = socket.create_connection(("127.0.0.1", 8080))
            served, _ = server.accept()
            served.close()  # who closes first waits, and that is the server's port
            client.close()
        return Path("/proc/thread-self/net/tcp").read_text()

    states = [row.split()[3] for row in place.enter(talk).splitlines()[1:]]
    assert "06" in states, "there must be a connection in TIME_WAIT"
    assert not place.sockets.bind_conflict("tcp", HERE, 8080)
    assert not place.sockets.bind_conflict("tcp", ANY, 8080)


def test_what_cannot_be_tried_is_an_error(place: Place) -> None:
    with pytest.raises(KernelError, match=r"try tcp port 8080 of fe80::1: Invalid argument"):
        place.sockets.bind_conflict("tcp", ip_address("fe80::1"), 8080)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_who_listens_is_named(place: Place, protocol: str) -> None:
    place.hold(protocol, "127.0.0.1", 8080)
    place.hold(protocol, "::", 8080)
    place.hold(protocol, "192.0.2.1", 8081)
    me = f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
    assert place.sockets.listeners(protocol, 8080) == [
        Listener(protocol, HERE, 8080, me),
        Listener(protocol, ANY6, 8080, me),
    ]
    assert place.sockets.listeners("tcp" if protocol == "udp" else "udp", 8080) == []


def test_another_process_is_named(lab: Lab) -> None:
    space = lab.namespace("server")
    code = "import socket, time; s = socket.create_server(('192.0.2.1', 22)); time.sleep(60)"
    space.ip_batch("addr add 192.0.2.1/32 dev lo")
    process = space.popen(sys.executable, "-c", code)
    sockets = LocalSockets(enter_of(space))
    _wait_for(lambda: bool(sockets.listeners("tcp", 22)))
    (listener,) = sockets.listeners("tcp", 22)
    assert listener.ip == LAN
    assert listener.process.endswith(f"(pid {process.pid})")
    assert sockets.bind_conflict("tcp", ANY, 22)


def test_connections_are_no_listeners(place: Place) -> None:
    def connect() -> list[socket.socket]:
        server = socket.create_server(("127.0.0.1", 8080))
        client = socket.create_connection(("127.0.0.1", 8080))
        served, _ = server.accept()
        server.close()
        return [client, served]

    sockets = place.enter(connect)
    assert place.sockets.listeners("tcp", 8080) == []
    for sock in sockets:
        sock.close()


def test_a_namespace_without_ipv6_has_no_conflicts_there(lab: Lab) -> None:
    space = lab.namespace("v4only")
    space.set_sysctl("net/ipv6/conf/all/disable_ipv6", 1)
    assert not LocalSockets(enter_of(space)).bind_conflict("tcp", SIX, 8080)


def _wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
