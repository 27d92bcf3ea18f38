"""How an adapter gets its work done inside a namespace without knowing how that is brought about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Enter(Protocol):
    """Something that runs a function on a thread that lives in a namespace."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Return what the function returns, raise what it raises."""
        ...


def stay(work: Callable[[], T], /) -> T:
    """Run a function where the caller is: the Enter of the caller's own namespace."""
    return work()
