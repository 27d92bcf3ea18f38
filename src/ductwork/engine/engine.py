"""The engine of one host: every use case as one call, each a whole change under the host's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import RLock, local
from types import TracebackType
from typing import NoReturn, TypeVar
from uuid import uuid4

from ductwork.engine import endpoints, look, networks, publishing, sandboxes
from ductwork.engine import topology as topologies
from ductwork.engine.change import Change, Direction
from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.events import EventLog
from ductwork.engine.executor import Executor, explain
from ductwork.engine.networks import NetworkUpdate
from ductwork.engine.planner import namespace_key, network_owner
from ductwork.engine.recovery import recover
from ductwork.engine.repair import Repair, refresh_foreign, repair, restore_all
from ductwork.engine.sandboxes import SandboxSpec
from ductwork.engine.state import HostRecord, State
from ductwork.engine.targets import Binder, Targets
from ductwork.engine.topology import TopologyPlan
from ductwork.engine.work import Work
from ductwork.errors import DuctworkError
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.entering import exec_in_namespace
from ductwork.kernel.ports import Kernel, KernelError
from ductwork.model.endpoint import Endpoint, Link
from ductwork.model.host import Host
from ductwork.model.network import Network, NetworkSpec
from ductwork.model.objects import NsKey, Step
from ductwork.model.port_mapping import PortMapping, PortRequest
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.model.topology import Topology
from ductwork.model.view import HostView
from ductwork.plan.describe import describe_steps, with_names
from ductwork.store.lock import HostLock
from ductwork.store.protocol import Store
from ductwork.store.staged import StagedStore

T = TypeVar("T")


@dataclass(slots=True)
class Report:
    """What the last change did: the steps it took, and what the person should be told besides."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Write the steps in the words of ip and nft, sandboxes by their names."""
        return describe_steps(self.steps, self.names)


class _Call(local):
    """What belongs to the calls of one thread: several may be at work at once."""

    def __init__(self) -> None:
        self.plan_only = False
        self.report = Report()


class Engine:
    """Everything Ductwork does on one host.

    Use it as a context manager. Calls are safe from several threads and several processes: each takes the
    host's lock, recovers what a killed process left, and is one change, done wholly or not at all.

    Attributes:
        events: what happened, for whoever follows.
    """

    def __init__(
        self, host: Host, kernel: Kernel, store: Store, lock: HostLock | None, engines: ContainerEngines
    ) -> None:
        self.host = host
        self.kernel = kernel
        self.store = store
        self.events = EventLog()
        self._call = _Call()
        self._lock = lock
        self._mutex = RLock()
        self._depth = 0
        self._places: dict[NsKey, str] = {}
        self.binder = Binder(host, kernel, engines, self._places)
        self.targets = Targets(host, self.binder, engines)
        self.executor = Executor(kernel, self._places)
        self.host_id = ""
        self._host_kept = False

    @property
    def plan_only(self) -> bool:
        """Whether every change of this thread is planned and reported, and nothing happens."""
        return self._call.plan_only

    @plan_only.setter
    def plan_only(self, value: bool) -> None:
        self._call.plan_only = value

    @property
    def report(self) -> Report:
        """What the last change of this thread did."""
        return self._call.report

    @report.setter
    def report(self, value: Report) -> None:
        self._call.report = value

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of sockets and files; everything in the kernel stays as it is."""
        self.kernel.close()
        self.store.close()

    # -- changes ---------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the host's lock; what a killed process left half-way is finished or undone first."""
        with self._mutex:
            self._depth += 1
            taken = self._lock is not None and not self._lock.held
            try:
                if taken and self._lock is not None:
                    self._lock.acquire()
                self._know_host()
                self._recover()
                yield
            except KernelError as error:
                raise explain(error) from error
            finally:
                self._depth -= 1
                if not self._depth:
                    self.binder.let_go()
                if taken and self._lock is not None:
                    self._lock.release()

    def _recover(self) -> None:
        pending = self.store.scan("pending/")
        if pending and self.plan_only:
            self.report.notes.append(
                "a change was cut off: the next command that is no plan deals with it first"
            )
        elif pending:
            self.report.notes += recover(self.store, self.binder, self.executor)

    def _know_host(self) -> None:
        if self._host_kept:
            return
        state = State(StagedStore(self.store))
        record = state.host()
        self._host_kept = record is not None or not self.plan_only
        if record is None:
            record = HostRecord(self.host_id or uuid4().hex, boot=self.kernel.boot_id)
            if not self.plan_only:
                state.put_host(record)
                self.store.commit(state.store.changes(), durable=True)
        self.host_id = record.id

    def change(self, what: str, use_case: Callable[[Work], T], kind: str = "", subject: str = "") -> T:
        """Run one use case as one change; `kind` and `subject` are those of the event that tells of it.

        Raises:
            DuctworkError: it failed; creations were taken back.
        """
        with self._mutex:
            self.report = Report()
            with self.locked():
                work = self._work(what)
                try:
                    result = use_case(work)
                    if self.targets.dead and not self.plan_only:
                        self._forget_dead()
                        work = self._work(what)
                        result = use_case(work)
                    self.report.names = work.change.sandbox_names()
                    self.report.steps = work.change.steps() if self.plan_only else work.change.commit()
                    if kind and not self.plan_only:
                        self.events.publish(kind, subject, f"{what}: done")
                except DuctworkError as error:
                    error.message = with_names(error.message, self.report.names)
                    raise
                finally:
                    self.targets.expected.clear()
                    self.targets.dead.clear()
                    self.report.notes += work.change.notes
                return result

    def _work(self, what: str) -> Work:
        change = Change(what, self.store, self.binder, self.executor)
        return Work(self.host, self.host_id, self.kernel, self.binder, self.targets, change)

    @contextmanager
    def _looking(self) -> Iterator[Work]:
        """Give reading calls the kernel while no change of this engine is under way."""
        with self._mutex:
            try:
                yield self._work("looking")
            finally:
                if not self._depth:
                    self.binder.let_go()

    def state(self) -> State:
        """Return the records as they are, for reading."""
        return State(StagedStore(self.store))

    def tidy(self) -> list[str]:
        """Look after what happened since the last call: dead containers, a flushed ruleset, a new firewall.

        The daemon does this as it happens; without one, every `duct` command begins with it.
        """
        if self.plan_only:
            return []
        notes: list[str] = []
        self.report = Report()
        with self.locked():
            notes += self.report.notes
            notes += self._sweep()
            notes += restore_all(self._work("restoring"))
            notes += self.executor.take_notes()
            notes += refresh_foreign(self._work("opening other firewalls for our bridges"))
        self.report = Report()
        return notes

    def repair(self) -> Repair:
        """Make everything on record exist again, whatever of it is missing; the report has the steps."""
        with self._mutex:
            self.report = report = Report()
            with self.locked():
                if not self.plan_only:
                    report.notes += self._sweep()
                done = repair(self._work("repairing"), plan_only=self.plan_only)
                report.notes += [*done.notes, *self.executor.take_notes()]
                if not self.plan_only:
                    report.notes += refresh_foreign(self._work("opening other firewalls for our bridges"))
            report.steps = list(done.steps)
            report.names = {f"sandbox/{s.id}": s.name for s in self.sandboxes()}
            return done

    def _forget_dead(self) -> None:
        """Forget containers that were started anew: what the old ones had is not the new ones'."""
        work = self._work("forgetting dead containers")
        work.change.direction = Direction.FINISH
        for sandbox in map(work.state.sandbox_or_none, dict.fromkeys(self.targets.dead)):
            if sandbox is not None:
                sandboxes.forget(work, sandbox)
        work.change.commit()
        self.report.notes += work.change.notes

    def _sweep(self) -> list[str]:
        work = self._work("forgetting dead containers")
        dead = sandboxes.sweep(work)
        if dead:
            work.change.commit()
        return [*(f"forgot {name}: it has died" for name in dead), *work.change.notes]

    # -- networks --------------------------------------------------------------------------------------

    def create_network(self, spec: NetworkSpec) -> Network:
        """Make a network."""
        return self.change(
            f"creating network {spec.name}", lambda w: networks.create(w, spec), "network.created", spec.name
        )

    def update_network(self, name: str, wanted: NetworkUpdate) -> Network:
        """Change a network in place, endpoints and their connections kept."""
        return self.change(
            f"updating network {name}", lambda w: networks.update(w, name, wanted), "network.updated", name
        )

    def remove_networks(self, names: Sequence[str]) -> list[Network]:
        """Remove networks without endpoints."""
        return self.change(
            f"removing network {', '.join(names)}",
            lambda w: networks.remove(w, names),
            "network.removed",
            ", ".join(names),
        )

    def prune_networks(self) -> list[Network]:
        """Remove every network without endpoints."""
        return self.change("pruning networks", networks.prune, "network.pruned", "")

    # -- sandboxes -------------------------------------------------------------------------------------

    def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """Make a sandbox and connect it to its networks."""
        return self.change(
            f"creating sandbox {spec.name}", lambda w: sandboxes.create(w, spec), "sandbox.created", spec.name
        )

    def remove_sandboxes(self, names: Sequence[str]) -> list[Sandbox]:
        """Disconnect sandboxes and take away those that are ours."""
        return self.change(
            f"removing sandbox {', '.join(names)}",
            lambda w: sandboxes.remove(w, names),
            "sandbox.removed",
            ", ".join(names),
        )

    def adopt_sandbox(self, target: str, name: str = "") -> Sandbox:
        """Make a running container visible to `ip netns`."""
        return self.change(
            f"adopting {target}", lambda w: sandboxes.adopt(w, target, name), "sandbox.adopted", target
        )

    def link(self, target: str, other: str, alias: str) -> Link:
        """Let a sandbox know another one by an alias."""
        return self.change(
            f"linking {target} to {other}",
            lambda w: sandboxes.link(w, target, other, alias),
            "link.created",
            f"{target} to {other}",
        )

    def unlink(self, target: str, alias: str) -> None:
        """Take an alias away."""
        self.change(
            f"unlinking {alias} from {target}",
            lambda w: sandboxes.unlink(w, target, alias),
            "link.removed",
            f"{alias} from {target}",
        )

    # -- endpoints -------------------------------------------------------------------------------------

    def connect(self, network: str, target: str, spec: ConnectSpec | None = None) -> Endpoint:
        """Attach a sandbox or a running container to a network."""
        what = f"connecting {target} to {network}"
        return self.change(
            what,
            lambda w: endpoints.connect(w, network, target, spec),
            "endpoint.connected",
            f"{target} on {network}",
        )

    def disconnect(self, network: str, target: str) -> Endpoint | None:
        """Detach it again; what is not attached is success."""
        what = f"disconnecting {target} from {network}"
        return self.change(
            what,
            lambda w: endpoints.disconnect(w, network, target),
            "endpoint.disconnected",
            f"{target} on {network}",
        )

    def publish(
        self, target: str, requests: Sequence[PortRequest], network: str = ""
    ) -> tuple[PortMapping, ...]:
        """Publish ports of a connected sandbox while it runs; says which host ports were chosen."""
        what = f"publishing ports of {target}"
        return self.change(
            what, lambda w: publishing.publish(w, target, requests, network), "port.published", target
        )[1]

    def unpublish(self, target: str, requests: Sequence[PortRequest] = ()) -> tuple[PortMapping, ...]:
        """Stop publishing ports, all of them when none is named."""
        what = f"unpublishing ports of {target}"
        return self.change(
            what, lambda w: publishing.unpublish(w, target, requests), "port.unpublished", target
        )

    # -- topologies ------------------------------------------------------------------------------------

    def diff(self, topology: Topology) -> TopologyPlan:
        """Say what differs between the host and a topology."""
        with self._looking() as work:
            record = work.state.host()
            work.host_id = work.host_id if record is None else record.id
            return topologies.compare(work, topology)

    def up(self, topology: Topology) -> TopologyPlan:
        """Bring the host to a topology; what is as it should be is left alone.

        What goes is one change and carried through; then all the rest is one, done wholly or not at all.
        """
        with self._mutex:
            total = self.report = Report()
            with self.locked():
                plan = topologies.compare(self._work("comparing"), topology)
                total.notes += plan.notes
                if self.plan_only:
                    removing, rehearsal = self._work("planning"), self._work("planning")
                    total.steps = topologies.plan_steps(removing, rehearsal, plan)
                    total.names = {**removing.change.sandbox_names(), **rehearsal.change.sandbox_names()}
                else:
                    self._bring_up(plan, total)
                self.targets.expected.clear()
            self.report = total
            return plan

    def down(self, name: str) -> TopologyPlan:
        """Take away everything that a topology made; when nothing is left that is success."""
        return self.up(Topology(name))

    def _bring_up(self, plan: TopologyPlan, total: Report) -> None:
        if plan.removals and plan.creations:
            topologies.rehearse(self._work("rehearsing"), plan)
        halves = (
            (f"removing what is not in {plan.topology}", plan.removals, topologies.stage_removals),
            (f"making {plan.topology}", plan.creations, topologies.stage_creations),
        )
        for what, actions, stage in halves:
            if actions:
                try:
                    self.change(what, partial(stage, plan=plan), "topology.changed", plan.topology)
                finally:
                    total.steps += self.report.steps
                    total.notes += self.report.notes
                    total.names |= self.report.names

    # -- looking ---------------------------------------------------------------------------------------

    def networks(self) -> list[Network]:
        """Return all networks, by name."""
        return self.state().networks()

    def sandboxes(self) -> list[Sandbox]:
        """Return all sandboxes that Ductwork knows, by name."""
        return self.state().sandboxes()

    def foreign_namespaces(self) -> list[str]:
        """Return the paths of named namespaces that are not ours."""
        with self._looking() as work:
            return sandboxes.named_namespaces(work)

    def is_alive(self, sandbox: Sandbox) -> bool:
        """Say whether a sandbox's namespace is there, and still the one it was."""
        if sandbox.mode is Mode.HOST:
            return True
        with self._looking() as work:
            return work.binder.bind(namespace_key(work.state, sandbox), [work.state])

    def view(self) -> HostView:
        """Return the host as `duct graph` draws it."""
        with self._looking() as work:
            return look.host_view(work)

    def status(self) -> look.HostStatus:
        """Return every kernel object Ductwork made, and whether it is there."""
        with self._looking() as work:
            return look.status(work)

    def network_objects(self, network: Network) -> list[look.ObjectStatus]:
        """Return the kernel objects a network itself consists of."""
        with self._looking() as work:
            return look.objects_of(work, [network_owner(network.id)])

    def sandbox_objects(self, sandbox: Sandbox) -> list[look.ObjectStatus]:
        """Return the kernel objects of a sandbox and its endpoints."""
        with self._looking() as work:
            return look.sandbox_objects(work, sandbox)

    def prepare_exec(self, name: str) -> Callable[[Sequence[str]], NoReturn]:
        """Return what replaces this process by a command inside a sandbox.

        Raises:
            NotFound, FailedPrecondition: there is no such sandbox, or it is gone.
        """
        state = self.state()
        sandbox = self.targets.resolve(state, name)
        if sandbox.mode is Mode.HOST:
            return partial(exec_in_namespace, self.host.netns, None)
        owner = state.sandbox(sandbox.other) if sandbox.mode is Mode.CONTAINER else sandbox
        place = self.binder.place(owner.target)
        files = self.host.etc_dir / owner.name
        return partial(exec_in_namespace, place.path, files if owner.mode is Mode.OWN else None)
