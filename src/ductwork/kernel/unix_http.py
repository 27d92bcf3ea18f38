"""Asking a daemon over HTTP on a unix socket, which is how container engines want to be asked."""

from __future__ import annotations

import http.client
import json
import socket
from types import TracebackType
from typing import Any, Self

from ductwork.errors import Denied, Unavailable

TIMEOUT_S = 5.0
_MOST_BYTES = 16 << 20  # an engine with thousands of containers lists them in a few megabytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host and port."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class UnixHttp:
    """One kept-alive connection to a daemon, made at the first question.

    Args:
        who: the daemon's name, for messages.
        hint: what to do when it does not answer.
    """

    def __init__(self, who: str, path: str, hint: str, timeout_s: float = TIMEOUT_S) -> None:
        self._who = who
        self._path = path
        self._hint = hint
        self._connection = _UnixConnection(path, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, target: str) -> Any:
        """Return the JSON at a target, None when there is nothing (404).

        Raises:
            Denied: no permission for the socket.
            Unavailable: nobody answers, not in time, or not in these terms.
        """
        doing = f"asking {self._who} at {self._path}"
        try:
            self._connection.request("GET", target)
            response = self._connection.getresponse()
            body = response.read(_MOST_BYTES + 1)
        except PermissionError:
            raise Denied(f"{doing}: permission denied", hint="run as root") from None
        except TimeoutError:
            raise Unavailable(
                f"{doing}: no answer within {self._connection.timeout:g} s", hint=self._hint
            ) from None
        except OSError as error:
            raise Unavailable(f"{doing}: {error.strerror or error}", hint=self._hint) from None
        except http.client.HTTPException as error:
            raise Unavailable(
                f"{doing}: the answer is not HTTP ({type(error).__name__})", hint=self._hint
            ) from None
        if response.status == http.HTTPStatus.NOT_FOUND:
            return None
        if response.status != http.HTTPStatus.OK or len(body) > _MOST_BYTES:
            raise Unavailable(f"{doing}: {response.status} {_words(body)}".rstrip(), hint=self._hint)
        try:
            return json.loads(body)
        except ValueError:
            raise Unavailable(f"{doing}: the answer is not JSON", hint=self._hint) from None


def _words(body: bytes) -> str:
    """Find the reason in an engine's error: `{"message": …}`, or whatever it wrote."""
    text = body[:300].decode(errors="replace").strip()
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return text
