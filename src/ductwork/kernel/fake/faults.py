"""Failures on demand: refuse one step, or die before it."""

from __future__ import annotations

import os

from ductwork.kernel.ports import KernelError


class Killed(BaseException):
    """The process died here. A BaseException, because no code of ours may catch it and carry on."""


def refuse(errno: int, doing: str, text: str = "") -> KernelError:
    """Make the error for a step the kernel refused; without a text of its own it is strerror's."""
    return KernelError(errno, text or os.strerror(errno), doing)


class Faults:
    """Counts every step that changes the kernel and spoils the chosen ones.

    Attributes:
        steps: how many steps were begun so far; reset it at will to count those of one operation.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._refusals: dict[int, int] = {}
        self._death: int | None = None
        self._dead = False

    def fail_at(self, n: int, errno: int) -> None:
        """Let the n-th step from now on, counted from 1, fail with an errno; later ones work again."""
        self._refusals[self.steps + n] = errno

    def die_at(self, n: int) -> None:
        """Raise Killed before the n-th step from now on takes effect, and at every later one until reset."""
        self._death = self.steps + n

    def reset(self) -> None:
        """Forget all planned failures; what died lives again."""
        self._refusals.clear()
        self._death = None
        self._dead = False

    def begin(self, doing: str) -> None:
        """Count one step.

        Raises:
            Killed: the process dies here. KernelError: this step was chosen to fail.
        """
        if self._dead:
            raise Killed(doing)
        self.steps += 1
        if self.steps == self._death:
            self._dead = True
            raise Killed(doing)
        errno = self._refusals.pop(self.steps, None)
        if errno is not None:
            raise refuse(errno, doing)

    def begin_file(self, doing: str) -> None:
        """Count one step on a file, which fails with an OSError as files do."""
        try:
            self.begin(doing)
        except KernelError as error:
            raise OSError(error.errno, error.text, doing) from None
