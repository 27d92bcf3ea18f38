"""SCTP servers and clients in namespaces of a test."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import LabError
from tests.lab.commands import end_process
from tests.lab.namespace import Namespace

_PEER = (sys.executable, "-ISE", str(Path(__file__).with_name("sctp_peer.py")))

Ask = Callable[[], dict[str, Any] | None]
"""Sends one message; returns `{"text": …, "client": address}`, or None when the association is broken."""


@contextlib.contextmanager
def sctp_server(ns: Namespace, port: int, text: str, bind: str = "::") -> Iterator[None]:
    """Serve SCTP during a `with` block."""
    process = _start(ns, "serve", bind, str(port), text)
    try:
        yield
    finally:
        end_process(process)


@contextlib.contextmanager
def sctp_association(ns: Namespace, address: object, port: int, wait_s: float = 5) -> Iterator[Ask]:
    """Hold one association during a `with` block.

    Raises:
        LabError: it could not be made within `wait_s`.
    """
    process = _start(ns, "connect", str(address), str(port), str(wait_s))

    def ask() -> dict[str, Any] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        return dict(json.loads(answer)) if answer else None

    try:
        yield ask
    finally:
        with contextlib.suppress(BrokenPipeError):  # the far end is gone already
            end_process(process)


def sctp_ask(ns: Namespace, address: object, port: int, wait_s: float = 5) -> dict[str, Any] | None:
    """Make an association, send one message, end it; None when it could not be made."""
    with contextlib.suppress(LabError), sctp_association(ns, address, port, wait_s) as ask:
        return ask()
    return None


def _start(ns: Namespace, *words: str) -> subprocess.Popen[str]:
    """Start a peer and wait until it says that it is ready; its own time limit bounds the wait."""
    pipe = subprocess.PIPE
    process = ns.popen(*_PEER, *words, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline().strip() != "ready":
        complaint = process.stderr.read().strip()
        end_process(process)
        raise LabError(f"sctp peer {' '.join(words)} in {ns.name}: {complaint or 'ended'}")
    return process
