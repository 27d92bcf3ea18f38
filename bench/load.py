"""The two ends of the connection load: a program of its own, started inside a namespace.

    load.py server PORT              accept and reset, until standard input ends
    load.py client ADDRESS PORT SECONDS LIMIT
                                     say "ready", wait for a line, connect as fast as possible,
                                     print count and seconds

A connection counts when the *server* has accepted it: the client waits for the reset that only an accepted
connection gets. A reset also leaves nothing in TIME_WAIT on either end, so ports do not run out.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

_RESET = struct.pack("ii", 1, 0)


def serve(port: int) -> None:
    """Accept and reset. The end of standard input ends the process: no parent, no server."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # accepted sockets inherit it: closing one sends a reset
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    listener.bind(("0.0.0.0", port))
    listener.listen(4096)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    print("ready", flush=True)
    while True:
        accepted, _ = listener.accept()
        accepted.close()


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def call(address: str, port: int, seconds: float, limit: int) -> tuple[int, float]:
    """Connect one after another until the time or the count is up; any refusal is an error."""
    target = (address, port)
    done = 0
    began = time.perf_counter()
    end = began + seconds
    while done < limit and (done % 32 or time.perf_counter() < end):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # the reset may come while connect() still returns
        with contextlib.suppress(ConnectionResetError):
            caller.connect(target)
            caller.recv(1)
        caller.close()
        done += 1
    return done, time.perf_counter() - began


def main(words: list[str]) -> None:
    if words[0] == "server":
        serve(int(words[1]))
        return
    print("ready", flush=True)
    sys.stdin.readline()
    count, spent = call(words[1], int(words[2]), float(words[3]), int(words[4]))
    print(count, spent, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
