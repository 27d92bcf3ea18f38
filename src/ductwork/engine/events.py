"""What happened on the host, as a short memory that many can read and wait on.

Whoever follows gives the number of the last event it has seen. One that was away for longer than the memory
reaches is told so by a gap in the numbers; nobody who is slow holds anybody else up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

KEPT = 4096  # events; about a megabyte


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        number: counts up from 1 while the process lives.
        time_s: seconds since the epoch.
        kind: NOUN.VERBED, e.g. "network.created", "endpoint.connected", "repair.done", "container.started".
        subject: the object's name, as the person knows it ("front", "web on front").
        text: one sentence for a person.
        who: who did it, where it can be known: a process of somebody else's, a client of the daemon.
        details: further facts by name, for programs.
    """

    number: int
    time_s: float
    kind: str
    subject: str
    text: str
    who: str = ""
    details: tuple[tuple[str, str], ...] = ()


class EventLog:
    """The latest events; publishing never waits for a reader."""

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self._changed = threading.Condition()
        self._last = 0
        self._closed = False

    @property
    def last(self) -> int:
        """Return the number of the newest event, 0 before the first."""
        return self._last

    @property
    def closed(self) -> bool:
        """Say whether no more events will come."""
        return self._closed

    def publish(self, kind: str, subject: str, text: str, who: str = "", **details: str) -> Event:
        """Tell everybody who follows."""
        with self._changed:
            self._last += 1
            event = Event(self._last, time.time(), kind, subject, text, who, tuple(sorted(details.items())))
            self._events.append(event)
            self._changed.notify_all()
        return event

    def since(self, number: int, timeout_s: float = 0.0) -> Sequence[Event]:
        """Return the events after a number, oldest first, waiting for one at most so long."""
        with self._changed:
            if timeout_s > 0:
                self._changed.wait_for(lambda: self._last > number or self._closed, timeout_s)
            if self._last <= number:
                return ()
            missed = self._last - number
            events = list(self._events)
            return events[-missed:] if missed < len(events) else events

    def close(self) -> None:
        """Wake everybody who waits; no more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
