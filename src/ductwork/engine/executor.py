"""The one place that applies steps to the kernel, in batches.

Neighbouring steps for one namespace's rtnetlink go out in one send, neighbouring map elements in one nft
transaction. Speed comes from this general rule; there is no second way to change the kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ductwork.errors import (
    Conflict,
    Denied,
    DuctworkError,
    Exhausted,
    FailedPrecondition,
    Internal,
    NotFound,
    TeardownErrors,
    Unavailable,
)
from ductwork.kernel.ports import Kernel, KernelError
from ductwork.model.objects import (
    Add,
    Address,
    Bridge,
    Change,
    ForeignAccept,
    HostsEntries,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    NamespaceName,
    Neighbour,
    NftElement,
    NsKey,
    PinnedNamespace,
    Remove,
    Route,
    Ruleset,
    Step,
    Sysctl,
    Veth,
)
from ductwork.plan.describe import describe_object
from ductwork.plan.flows import stale_flows

_ROUTE_OBJECTS = (Bridge, Veth, LinkUp, Address, Route, Neighbour, LoopbackGuard)

_TRANSACTION_LIMIT = 4096  # map elements; a much larger transaction would hold the kernel's commit lock long

_GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Steps that were refused together, and the answer."""

    steps: Sequence[Step]
    error: KernelError | DuctworkError


class Executor:
    """Applies steps to one host's kernel.

    Args:
        places: where each sandbox's hosts file is, by namespace key; absent means it has none.
        before_group: called before each group with the steps in it; for progress, and for tests that kill.
    """

    def __init__(
        self,
        kernel: Kernel,
        places: dict[NsKey, str],
        before_group: Callable[[Sequence[Step]], None] | None = None,
    ) -> None:
        self.kernel = kernel
        self.places = places
        self.before_group = before_group
        self.group_limit = kernel.batch_limit
        self.attempted: list[Step] = []
        self._notes: list[str] = []

    def take_notes(self) -> list[str]:
        """Return, once, what the person should be told although it is no failure."""
        notes, self._notes = list(dict.fromkeys(self._notes)), []
        return notes

    def run(self, steps: Sequence[Step]) -> None:
        """Apply all steps, stopping at the first group in which one fails.

        Raises:
            DuctworkError: what failed, in the kernel's words; later groups were not touched. `attempted` then
                holds what may have been done.
        """
        self.attempted = []
        for group in self._groups(steps):
            refused = self._apply(group, go_on=False)
            if refused:
                raise _explain(refused[0])

    def run_all(self, steps: Sequence[Step], doing: str) -> None:
        """Apply all steps, going on past failures; what is gone with all that was in it is no failure.

        Raises:
            TeardownErrors: everything that failed.
        """
        failures = [
            _explain(refused)
            for group in self._groups(steps)
            for refused in self._apply(group, go_on=True)
            if not self._is_gone(refused)
        ]
        if failures:
            raise TeardownErrors(doing, failures)

    def _groups(self, steps: Sequence[Step]) -> Iterator[list[Step]]:
        for _, group in groupby(steps, key=_batch_key):
            items = list(group)
            elements = isinstance(target_of(items[0]), NftElement) and self.group_limit > 1
            limit = _TRANSACTION_LIMIT if elements else self.group_limit
            for start in range(0, len(items), limit):
                yield items[start : start + limit]

    def _apply(self, group: list[Step], *, go_on: bool) -> list[_Refused]:
        if self.before_group is not None:
            self.before_group(group)
        target = target_of(group[0])
        try:
            if isinstance(target, _ROUTE_OBJECTS):
                self.attempted += group
                outcomes = self.kernel.route(target.ns).apply(group)
                return [_Refused([s], e) for e, s in zip(outcomes, group, strict=True) if e is not None]
            if isinstance(target, NftElement):
                self._elements(target.ns, group)
                return []
        except (KernelError, DuctworkError, OSError) as error:
            return [_Refused(group, _answer(error))]
        return self._one_by_one(group, go_on=go_on)

    def _one_by_one(self, group: list[Step], *, go_on: bool) -> list[_Refused]:
        refused: list[_Refused] = []
        for step in group:
            try:
                self._single(step)
            except (KernelError, DuctworkError, OSError) as error:
                refused.append(_Refused([step], _answer(error)))
                if not go_on:
                    break
            else:
                self.attempted.append(step)
        return refused

    def _is_gone(self, refused: _Refused) -> bool:
        """Say whether steps were refused because what they are about, or what it is in, is there no more."""
        if not isinstance(refused.error, KernelError) or refused.error.errno not in _GONE:
            return False
        target = target_of(refused.steps[0])
        if isinstance(target, NftElement):
            return self.kernel.nft(target.ns).owner() is None
        return all(_can_be_gone(step) for step in refused.steps)

    def _elements(self, ns: NsKey, group: list[Step]) -> None:
        nft = self.kernel.nft(ns)
        try:
            nft.apply(group)
        except KernelError as error:
            lost = error.errno == errno.ENOENT and nft.owner() is None
            if not lost or not all(isinstance(step, Remove) for step in group):
                raise  # otherwise they are gone already, with the table that somebody flushed
        self.attempted += group
        flows = stale_flows(group)
        if flows:
            self.kernel.conntrack(ns).delete(flows)

    def _single(self, step: Step) -> None:
        match step:
            case Add(PinnedNamespace() as space, tolerant):
                try:
                    self.kernel.create_namespace(space.path)
                except FileExistsError:
                    if not tolerant:
                        raise
                self._bind_new(space, made=not tolerant)
            case Remove(PinnedNamespace() as space):
                self.kernel.unbind(space.key)
                self.kernel.delete_namespace(space.path)
            case Add(NamespaceName() as name, tolerant):
                self.kernel.name_namespace(name.path, name.points_to)
            case Remove(NamespaceName() as name):
                self.kernel.delete_namespace(name.path)
            case Add(Sysctl() as sysctl, tolerant):
                # An interface lacks what its kernel lacks (IPv6 as a whole, say); the address will tell.
                self._set(sysctl, sysctl.value, tolerant=tolerant or sysctl.before is None)
            case Change(_, Sysctl() as sysctl):
                self._set(sysctl, sysctl.value, tolerant=sysctl.before is None)
            case Remove(Sysctl() as sysctl):
                if sysctl.before is not None:
                    self._set(sysctl, sysctl.before, tolerant=True)
            case Add(Ruleset() as ruleset, tolerant):
                self._load(ruleset, tolerant=tolerant)
            case Change(_, Ruleset() as ruleset):
                self._load(ruleset)
            case Remove(Ruleset() as ruleset):
                nft = self.kernel.nft(ruleset.ns)
                if nft.owner() == ruleset.owner:
                    nft.delete_table()
            case Add(HostsEntries() as hosts) | Change(_, HostsEntries() as hosts):
                self._hosts(hosts, hosts.lines)
            case Remove(HostsEntries() as hosts):
                self._hosts(hosts, ())
            case Add(ForeignAccept() as accept) | Remove(ForeignAccept() as accept):
                self.kernel.apply_foreign(accept.ns, step)
            case _:
                raise Internal(f"no way to apply {step!r}")

    def _bind_new(self, space: PinnedNamespace, *, made: bool) -> None:
        try:
            self.kernel.bind(space.key, space.path)
        except Exception:
            if made:
                self.kernel.delete_namespace(space.path)
            raise

    def _set(self, sysctl: Sysctl, value: str, *, tolerant: bool = False) -> None:
        port = self.kernel.sysctl(sysctl.ns)
        if tolerant and port.get(sysctl.path) is None:
            return  # it went with its interface
        port.set(sysctl.path, value)

    def _load(self, ruleset: Ruleset, *, tolerant: bool = False) -> None:
        nft = self.kernel.nft(ruleset.ns)
        owner = nft.owner()
        if owner is not None and owner != ruleset.owner:
            raise Conflict(
                f"this network namespace already belongs to another Ductwork host ({owner})",
                hint="use that host's --host folder, or another --netns",
            )
        if owner is not None and tolerant:
            return  # loading it again would empty the maps, which others have filled
        nft.load(ruleset)

    def _hosts(self, hosts: HostsEntries, lines: Sequence[str]) -> None:
        place = self.places.get(hosts.key)
        if place is None:
            return
        try:
            self.kernel.write_hosts(place, lines)
        except (KernelError, OSError) as error:
            # The file is the container's: what it makes of it must not stand in the way of the network.
            answer = _answer(error)
            why = answer.text if isinstance(answer, KernelError) else str(answer)
            self._notes.append(f"the hosts file of {hosts.where} was not written: {why}")


def target_of(step: Step) -> KernelObject:
    """Return the object a step is about."""
    return step.new if isinstance(step, Change) else step.object


def explain(error: KernelError) -> DuctworkError:
    """Turn the kernel's answer to a question into the class that says what the caller should do."""
    return _classify(error.errno, str(error))


def _batch_key(step: Step) -> tuple[str, str]:
    target = target_of(step)
    if isinstance(target, _ROUTE_OBJECTS):
        return "route", target.ns
    if isinstance(target, NftElement):
        return "nft", target.ns
    return type(target).__name__, ""


def _answer(error: KernelError | DuctworkError | OSError) -> KernelError | DuctworkError:
    if isinstance(error, OSError):
        return KernelError(error.errno or 0, error.strerror or str(error), "")
    return error


def _can_be_gone(step: Step) -> bool:
    """Say whether a step may find nothing to work on; a bridge is made in a host, which is always there."""
    target = target_of(step)
    return isinstance(target, (*_ROUTE_OBJECTS, Sysctl)) and not (
        isinstance(step, Add) and isinstance(target, Bridge)
    )


def _explain(refused: _Refused) -> DuctworkError:
    """Turn the kernel's answer into the class that says what the caller should do."""
    error, step = refused.error, refused.steps[0]
    if isinstance(error, DuctworkError):
        return error
    verb = {Add: "adding", Remove: "removing", Change: "changing"}[type(step)]
    doing = f"{verb} {describe_object(target_of(step))}"
    if len(refused.steps) > 1 and error.doing:
        doing = error.doing  # which of them it was, only the kernel's side knows
    return _classify(error.errno, f"{doing}: {error.text}")


def _classify(number: int, message: str) -> DuctworkError:
    match number:
        case errno.EEXIST | errno.EADDRINUSE | errno.EBUSY:
            return Conflict(
                message, hint="something that is not Ductwork's has it; see `ip -d link`, `ip addr`"
            )
        case errno.EACCES if "IPv6 is disabled" in message:
            # As Docker does it in its containers; the kernel calls it a lack of permission.
            return FailedPrecondition(
                message,
                hint="start it with sysctls net.ipv6.conf.all.disable_ipv6=0 and ….default.disable_ipv6=0",
            )
        case errno.EPERM | errno.EACCES:
            return Denied(message, hint="run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN")
        case errno.EOPNOTSUPP | errno.EPROTONOSUPPORT | errno.EAFNOSUPPORT:
            return FailedPrecondition(
                message, hint="this kernel lacks the feature; load its module or update"
            )
        case errno.ENODEV | errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENOENT | errno.ESRCH:
            return NotFound(message, hint="something else removed it meanwhile; try again")
        case errno.ENOSPC | errno.EMFILE | errno.ENFILE | errno.EXFULL | errno.ENOMEM:
            return Exhausted(message, hint="a limit of the kernel is reached; free something and try again")
        case errno.ENOBUFS | errno.EAGAIN | errno.EINTR | errno.ETIMEDOUT:
            return Unavailable(message, hint="try again")
        case _:
            return Internal(message, hint="please report this")
