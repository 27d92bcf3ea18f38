"""What the daemon keeps running beside the engine: whoever watches the kernel, or the container engines."""

from __future__ import annotations

from typing import Protocol


class Attendant(Protocol):
    """Something with a life of its own, usually a thread.

    It changes the host only through the engine, and tells what it did in the engine's event log. An error of
    one event must not end it.
    """

    def start(self) -> None:
        """Begin; comes back when it is ready to notice things."""
        ...

    def stop(self) -> None:
        """End, and come back when it has; a second time is harmless."""
        ...
