"""The far end of SCTP test traffic: one-to-one sockets (RFC 6458, section 4).

    sctp_peer.py serve BIND PORT TEXT          answer each line of each association; says "ready" first
    sctp_peer.py connect ADDRESS PORT WAIT_S   hold one association: send each line read, print each answer

Like the lab's `peer.py` it runs on the bare interpreter inside any namespace; each answer says who was seen.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading

LIFETIME_S = 300


def _socket(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


def serve(address: str, port: int, text: str) -> None:
    """Answer each association in a thread of its own; `::` takes IPv4 clients as well."""
    with _socket(address) as server:
        server.bind((address, port))
        server.listen(64)
        print("ready", flush=True)
        while True:
            association, peer = server.accept()
            threading.Thread(target=_answer, args=(association, text, peer[0]), daemon=True).start()


def _answer(association: socket.socket, text: str, client: str) -> None:
    seen = json.dumps({"text": text, "client": client.removeprefix("::ffff:")}).encode()
    with association:
        while association.recv(65536):
            association.sendall(seen + b"\n")


def connect(address: str, port: int, wait_s: float) -> None:
    """Hold one association for as long as lines come in; an empty line printed means that it is broken."""
    with _socket(address) as association:
        association.settimeout(wait_s)
        association.connect((address, port))
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                association.sendall(line.encode())
                print(association.recv(65536).decode().strip(), flush=True)
            except OSError as error:
                print(f"sctp: {error}", file=sys.stderr)
                print(flush=True)


def main() -> None:
    """Do what the first word says."""
    signal.alarm(LIFETIME_S)
    word, address, port, last = sys.argv[1:]
    if word == "serve":
        serve(address, int(port), last)
    else:
        connect(address, int(port), float(last))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"sctp: {error}")
