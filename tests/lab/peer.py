"""The far end of test traffic: one small program that serves or asks, run inside any namespace.

    peer.py http|udp|hold BIND PORT TEXT     serve for at most LIFETIME_S; prints "ready" once it listens
    peer.py ask-udp ADDRESS PORT DATA WAIT_S print the answer, exit 1 when none came
    peer.py connect ADDRESS PORT WAIT_S      hold a TCP connection: send each line read, print each answer

It uses the bare interpreter and raw sockets, because tests start hundreds of them.
"""

import json
import signal
import socket
import sys
import threading

LIFETIME_S = 900


def bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """Open a listening socket; `::` takes IPv4 clients as well."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, port))
    return sock


def seen(text: str, client: str, port: int, **more: str) -> bytes:
    """Tell a client how it looked from here."""
    return json.dumps({"text": text, "client": client.removeprefix("::ffff:"), "port": port, **more}).encode()


def serve_tcp(address: str, port: int, text: str, *, http: bool) -> None:
    """Answer each connection in a thread of its own."""
    server = bound(socket.SOCK_STREAM, address, port)
    server.listen(1024)
    print("ready", flush=True)
    answer = answer_http if http else answer_lines
    while True:
        connection, peer = server.accept()
        threading.Thread(target=answer, args=(connection, text, peer[0], peer[1]), daemon=True).start()


def answer_http(connection: socket.socket, text: str, client: str, port: int) -> None:
    """Answer one request of any kind and close."""
    with connection:
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return
            request += data
        body = seen(text, client, port)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


def answer_lines(connection: socket.socket, text: str, client: str, port: int) -> None:
    """Keep a connection and answer each line on it."""
    with connection, connection.makefile("r") as lines:
        for line in lines:
            connection.sendall(seen(text, client, port, data=line.rstrip("\n")) + b"\n")


def serve_udp(address: str, port: int, text: str) -> None:
    """Answer each datagram."""
    server = bound(socket.SOCK_DGRAM, address, port)
    print("ready", flush=True)
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(seen(text, peer[0], peer[1], data=data.decode(errors="replace")), peer)


def ask_udp(address: str, port: int, data: str, wait_s: float) -> None:
    """Send one datagram from a fresh port and print the answer."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(wait_s)
        sock.connect((address, port))
        sock.send(data.encode())
        print(sock.recv(65536).decode())


def connect(address: str, port: int, wait_s: float) -> None:
    """Hold one connection for as long as lines come in; an empty line printed means that it is broken."""
    with socket.create_connection((address, port), wait_s) as sock:
        print("ready", flush=True)
        answers = sock.makefile("r")
        for line in sys.stdin:
            try:
                sock.sendall(line.encode())
                print(answers.readline().rstrip("\n"), flush=True)
            except OSError as error:
                print(f"peer: {error}", file=sys.stderr)
                print(flush=True)


def main() -> None:
    """Do what the first word says."""
    signal.alarm(LIFETIME_S)
    word, address, port, *rest = sys.argv[1:]
    match word:
        case "http" | "hold":
            serve_tcp(address, int(port), rest[0], http=word == "http")
        case "udp":
            serve_udp(address, int(port), rest[0])
        case "ask-udp":
            ask_udp(address, int(port), rest[0], float(rest[1]))
        case "connect":
            connect(address, int(port), float(rest[0]))
        case _:
            sys.exit(f"peer: unknown word {word!r}; known: http, udp, hold, ask-udp, connect")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"peer: {error}")
