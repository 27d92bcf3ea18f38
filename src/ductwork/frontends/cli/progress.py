"""One line on the terminal that says how far a long change has come; nothing for a short one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from ductwork import Engine
from ductwork.model.objects import Step

QUIET_S = 2.0  # a person does not wonder before
_EVERY_S = 0.1
_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Counts the steps of a change and shows the count once it takes long."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begin = time.monotonic()
        self._shown = 0.0
        self._done = 0

    @classmethod
    @contextmanager
    def of(cls, engine: Engine, out: TextIO | None = None) -> Iterator[None]:
        """Follow what an engine does; without a terminal there is nobody to see it."""
        stream = out or sys.stderr
        if not stream.isatty():
            yield
            return
        progress, before = cls(stream), engine.executor.before_group
        engine.executor.before_group = progress.count
        try:
            yield
        finally:
            engine.executor.before_group = before
            progress.clear()

    def count(self, steps: Sequence[Step]) -> None:
        """Take note of steps that begin now."""
        now = time.monotonic()
        self._done += len(steps)
        if now - self._begin >= QUIET_S and now - self._shown >= _EVERY_S:
            self._shown = now
            self._out.write(f"{_CLEAR_LINE}{self._done:,} kernel steps, {now - self._begin:.0f} s …")
            self._out.flush()

    def clear(self) -> None:
        """Leave the line as it was found."""
        if self._shown:
            self._out.write(_CLEAR_LINE)
            self._out.flush()
