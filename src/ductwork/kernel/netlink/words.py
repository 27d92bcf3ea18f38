"""What was being done, in words, for errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ductwork.kernel.netlink.socket import Refusal
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import (
    Add,
    Address,
    Bridge,
    Change,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    Neighbour,
    Remove,
    Route,
    Step,
    Veth,
)

_VERBS: dict[type, str] = {Add: "adding", Remove: "removing", Change: "changing"}
_LOST = {
    errno.ENOBUFS: "the kernel's answer was lost, so the outcome is unknown",
    errno.EAGAIN: "the kernel did not answer in time, so the outcome is unknown",
}


def target_of(step: Step) -> KernelObject:
    """Return the object a step is about."""
    return step.new if isinstance(step, Change) else step.object


def describe(step: Step) -> str:
    """Say what a step does."""
    return f"{_VERBS[type(step)]} {_name(target_of(step))}"


def _name(item: KernelObject) -> str:
    match item:
        case Bridge():
            return f"bridge {item.name}"
        case Veth():
            return f"veth pair {item.name} and {item.peer_name} in {item.peer_ns}"
        case LinkUp():
            return f"state up of {item.name}"
        case Address():
            return f"address {item.ip} on {item.dev}"
        case Route():
            return f"route {item.dst} over {item.dev}"
        case Neighbour():
            return f"neighbour {item.ip} on {item.dev}"
        case LoopbackGuard():
            return f"loopback guard on {item.dev}"
        case _:
            return type(item).__name__


def refused(step: Step, refusal: Refusal) -> KernelError:
    """Put a refusal in the kernel's own words."""
    return KernelError(refusal.errno, refusal.words(), describe(step))


def unknown(error: OSError, doing: str) -> KernelError:
    """Put in words that the kernel could not be asked, or did not answer."""
    number = error.errno or errno.EIO
    return KernelError(number, _LOST.get(number, str(error)), doing)


@contextmanager
def telling(doing: str) -> Iterator[None]:
    """Let errors of the socket say what was being done."""
    try:
        yield
    except OSError as error:
        raise unknown(error, doing) from error


def doing_all(steps: Sequence[Step]) -> str:
    """Say what many steps do."""
    if len(steps) == 1:
        return describe(steps[0])
    return f"{describe(steps[0])} and {len(steps) - 1} more"
