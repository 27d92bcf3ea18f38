"""Work inside a network namespace without moving a thread that somebody else uses."""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(fd: int) -> None:
    """Move the calling thread into a namespace. Python has os.setns only from 3.12 on."""
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


class NamespaceThread:
    """A thread that lives in one namespace; children it starts and sockets it opens are there too.

    Peers are started from here, as their engine would start them, so that no `nsenter` is on their bill.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        entered: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(entered,), name=f"in {path.name}", daemon=True
        )
        self._thread.start()
        entered.result(timeout=10)

    def _serve(self, entered: Future[None]) -> None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                enter(fd)
            finally:
                os.close(fd)
        except OSError as error:
            entered.set_exception(error)
            return
        entered.set_result(None)
        while (job := self._jobs.get()) is not None:
            work, answer = job
            try:
                answer.set_result(work())
            except BaseException as error:  # carried to the caller, who waits for it
                answer.set_exception(error)

    def call(self, work: Callable[[], T], timeout_s: float = 120.0) -> T:
        """Do `work` in the namespace and wait for its answer, or raise what it raised."""
        answer: Future[T] = Future()
        self._jobs.put((work, answer))
        return answer.result(timeout=timeout_s)

    def close(self) -> None:
        """Let the thread end; what it opened stays open."""
        self._jobs.put(None)
        self._thread.join(timeout=10)

    def __enter__(self) -> NamespaceThread:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def socket_in(path: Path, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Open a socket that belongs to the namespace at `path`, wherever the caller is."""
    with NamespaceThread(path) as thread:
        return thread.call(lambda: socket.socket(family, kind, protocol))


def prove_connection(server: Path, server_port: int, client: Path, address: str, port: int) -> None:
    """Make one TCP connection from `client` to address:port and see it arrive in `server`.

    Raises:
        OSError: it did not arrive within three seconds.
    """
    with (
        socket_in(server, socket.AF_INET, socket.SOCK_STREAM) as listener,
        socket_in(client, socket.AF_INET, socket.SOCK_STREAM) as caller,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", server_port))
        listener.listen(1)
        listener.settimeout(3)
        caller.settimeout(3)
        try:
            caller.connect((address, port))
            accepted, _ = listener.accept()
        except TimeoutError as error:
            raise OSError(f"no connection from {client.name} to {address}:{port} within 3 s") from error
        accepted.close()
