"""Start the load program's two ends in their namespaces and read the rate."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.command import environment, stop
from bench.netns import NamespaceThread

_LOAD = Path(__file__).with_name("load.py")
_CLIENTS = 2
_LIMIT = 40_000


class LoadError(Exception):
    """The load did not run to its end; the text says which end and what it printed."""


def _start(thread: NamespaceThread, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-ISE", str(_LOAD), *words]
    pipe = subprocess.PIPE
    return thread.call(
        lambda: subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment())
    )


def _read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    line = process.stdout.readline() if ready else ""
    if not line:
        stop(process)
        raise LoadError(f"{' '.join(map(str, process.args))}: {process.stderr.read()[-400:] or 'silent'}")  # type: ignore[arg-type]
    return line


@contextlib.contextmanager
def serving(netns: Path, port: int) -> Iterator[None]:
    """A server in a namespace for as long as the block lasts."""
    with NamespaceThread(netns) as thread:
        process = _start(thread, "server", str(port))
        with process:
            try:
                _read_line(process, 10)
                yield
            finally:
                stop(process)


def connection_rate(client: Path, address: str, port: int, seconds: float) -> float:
    """New connections a second from two processes in `client`, for `seconds` or 40,000 each.

    Raises:
        LoadError: a connection was refused, or the clients did not end in time.
    """
    words = ("client", address, str(port), str(seconds), str(_LIMIT))
    with contextlib.ExitStack() as stack:
        thread = stack.enter_context(NamespaceThread(client))
        processes: list[subprocess.Popen[str]] = []
        for _ in range(_CLIENTS):
            process = stack.enter_context(_start(thread, *words))
            stack.callback(stop, process)
            processes.append(process)
            _read_line(process, 10)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        rate = 0.0
        for process in processes:
            count, spent = _read_line(process, seconds + 10).split()
            rate += int(count) / float(spent)
        return rate
