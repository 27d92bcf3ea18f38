"""Servers and clients for tests: real sockets in real namespaces, each answer saying who the server saw."""

import contextlib
import json
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.lab.commands import LabError, Result, end_process, wait_until
from tests.lab.namespace import Namespace

_PEER = (sys.executable, "-ISE", str(Path(__file__).with_name("peer.py")))
_READY_WITHIN_S = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; it ends with its namespace, with `close`, or with a `with` block."""

    process: subprocess.Popen[str]

    def close(self) -> None:
        """End it."""
        end_process(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def http_server(ns: Namespace, port: int, text: str, bind: str = "0.0.0.0") -> Server:
    """Serve HTTP: each answer is `{"text": text, "client": address, "port": client's port}`."""
    return Server(_start(ns, "http", bind, str(port), text))


def udp_echo(ns: Namespace, port: int, text: str = "udp", bind: str = "0.0.0.0") -> Server:
    """Answer datagrams with the same JSON as `http_server`, and the datagram as `data`."""
    return Server(_start(ns, "udp", bind, str(port), text))


def tcp_hold(ns: Namespace, port: int, text: str = "tcp", bind: str = "0.0.0.0") -> Server:
    """Keep TCP connections and answer each line; the other end is `tcp_connect`."""
    return Server(_start(ns, "hold", bind, str(port), text))


def _start(ns: Namespace, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = ns.popen(*_PEER, *words, stdin=pipe, stdout=pipe, stderr=pipe)
    if _read_line(process, _READY_WITHIN_S) != "ready":
        process.kill()
        complaint = process.stderr.read() if process.stderr else ""
        end_process(process)
        raise LabError(f"peer {' '.join(words)} in {ns.name}: {complaint.strip() or 'not ready in time'}")
    return process


def _read_line(process: subprocess.Popen[str], wait_s: float) -> str | None:
    """Read one line; None when none came in time or the process is gone."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], wait_s)
    line = process.stdout.readline() if readable else ""
    return line.rstrip("\n") if line else None


def curl(ns: Namespace, url: str, *options: str, timeout: float = 3) -> Result:
    """Ask for a URL with curl from inside a namespace; a failure is in the exit code, never raised."""
    limit = ("--max-time", str(timeout))
    return ns.run("curl", "-sS", "--noproxy", "*", *limit, *options, url, check=False, timeout=timeout + 5)


def fetch(ns: Namespace, url: str, timeout: float = 3) -> dict[str, Any] | None:
    """Ask an `http_server`; None when it cannot be reached."""
    result = curl(ns, url, timeout=timeout)
    return dict(json.loads(result.stdout)) if result.returncode == 0 else None


def udp_ask(
    ns: Namespace, address: object, port: int, data: str = "hello", timeout: float = 2
) -> dict[str, Any] | None:
    """Ask a `udp_echo`; None when no answer came."""
    words = ("ask-udp", str(address), str(port), data, str(timeout))
    result = ns.run(*_PEER, *words, check=False, timeout=timeout + 5)
    return dict(json.loads(result.stdout)) if result.returncode == 0 else None


class HeldConnection:
    """One TCP connection to a `tcp_hold`, kept open between questions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str = "hello", timeout: float = 3) -> dict[str, Any] | None:
        """Send a line; None when the connection is broken or no answer came in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = _read_line(self._process, timeout)
        return dict(json.loads(answer)) if answer else None

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(BrokenPipeError):  # the far end is gone already
            end_process(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def tcp_connect(ns: Namespace, address: object, port: int, timeout: float = 3) -> HeldConnection:
    """Open a TCP connection and keep it.

    Raises:
        LabError: it could not be opened.
    """
    return HeldConnection(_start(ns, "connect", str(address), str(port), str(timeout)))


def ping(ns: Namespace, address: object, *options: str, count: int = 1, timeout: float = 2) -> bool:
    """Say whether every one of `count` pings was answered."""
    limits = ("-c", str(count), "-i", "0.2", "-W", str(timeout))
    result = ns.run("ping", "-n", *limits, *options, str(address), check=False, timeout=timeout + count + 5)
    return result.returncode == 0 and f"{count} received" in result.stdout


def wait_listening(ns: Namespace, port: int, protocol: str = "tcp", timeout: float = 10) -> None:
    """Wait until something in the namespace listens on a port (`tcp` or `udp`)."""
    argv = ("ss", "-Hln", f"--{protocol}", f"sport = :{port}")
    wait_until(lambda: ns.run(*argv).stdout, f"{protocol} port {port} open in {ns.name}", timeout=timeout)
