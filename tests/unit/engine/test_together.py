"""Several at once: threads on one engine, and two processes' engines on one host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tests.unit.engine.world import HOST_NETNS, World, network, ports, sandbox

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.engine import Engine
from ductwork.errors import Conflict, DuctworkError
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.fake import FakeKernel
from ductwork.model.host import Host
from ductwork.store.lock import HostLock
from ductwork.store.sqlite import SqliteStore

EACH = 12


def all_at_once(*jobs: Callable[[], None]) -> list[BaseException]:
    failures: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # shown by the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return failures


def nothing_twice(engine: Engine, sandboxes: int) -> None:
    state = engine.state()
    endpoints = state.endpoints()
    assert len(endpoints) == sandboxes
    assert len({e.addresses[0] for e in endpoints}) == len({e.slot for e in endpoints}) == sandboxes
    chosen = [p.mapping.host_port for p in state.ports()]
    assert len(set(chosen)) == len(chosen) == sandboxes
    assert state.count_endpoints(state.networks()[0].id) == sandboxes
    status = engine.status()
    assert not status.missing and not status.leftovers
    assert not state.store.scan("pending/")


def test_threads_on_one_engine(world: World) -> None:
    engine = world.engine
    engine.create_network(network("n", "10.5.0.0/24"))

    def work(number: int) -> None:
        for each in range(EACH):
            name = f"s{number}-{each}"
            engine.create_sandbox(sandbox(name))
            engine.connect("n", name, ConnectSpec(ports=ports("80")))
            engine.view()

    assert not all_at_once(*(lambda n=n: work(n) for n in range(4)))  # type: ignore[misc]
    nothing_twice(engine, 4 * EACH)


def test_one_port_for_many_threads(world: World) -> None:
    engine = world.engine
    engine.create_network(network("n", "10.5.0.0/24"))
    for number in range(4):
        engine.create_sandbox(sandbox(f"s{number}", "n"))

    def publish(number: int) -> None:
        engine.publish(f"s{number}", ports("80:80"))

    failures = all_at_once(*(lambda n=n: publish(n) for n in range(4)))  # type: ignore[misc]
    assert [type(f) for f in failures] == [Conflict] * 3
    assert len(engine.state().ports()) == 1


class Processes:
    """Two engines with a store, a lock and a way to the kernel of their own, as two processes have them.

    The fake is one object, so the calls to it are taken in turn; who holds what is each engine's own.
    """

    def __init__(self, folder: Path) -> None:
        self.kernel = FakeKernel(HOST_NETNS)
        self.host = Host.at(folder, HOST_NETNS)
        self.engines = [self._engine(folder) for _ in range(2)]

    def _engine(self, folder: Path) -> Engine:
        store = SqliteStore(folder / "state.db")
        return Engine(self.host, self.kernel, store, HostLock(folder / "lock", 30.0), ContainerEngines({}))

    def close(self) -> None:
        for engine in self.engines:
            engine.store.close()


def test_two_engines_on_one_store(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    one, two = processes.engines
    one.create_network(network("n", "10.5.0.0/24"))

    def work(engine: Engine, letter: str) -> None:
        for each in range(EACH):
            engine.create_sandbox(sandbox(f"{letter}{each}", "n"))
            engine.publish(f"{letter}{each}", ports("80"))
            if each % 3 == 0:
                engine.disconnect("n", f"{letter}{each}")
                engine.connect("n", f"{letter}{each}", ConnectSpec(ports=ports("80")))

    try:
        assert not all_at_once(lambda: work(one, "a"), lambda: work(two, "b"))
        assert one.host_id == two.host_id
        nothing_twice(one, 2 * EACH)
        nothing_twice(two, 2 * EACH)
    finally:
        processes.close()


def test_two_engines_want_the_same(tmp_path: Path) -> None:
    """Whoever is second is refused in words, not by the store."""
    processes = Processes(tmp_path)
    one, two = processes.engines

    def create(engine: Engine) -> None:
        engine.create_network(network("n", "10.5.0.0/24"))

    try:
        (failure,) = all_at_once(lambda: create(one), lambda: create(two))
        assert isinstance(failure, DuctworkError) and "exists already" in str(failure)
    finally:
        processes.close()


def test_the_lock_is_free_after_a_failure(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    one, two = processes.engines
    try:
        assert all_at_once(lambda: one.remove_networks(["nothing"]))  # type: ignore[arg-type, return-value]
        two.create_network(network("n", "10.5.0.0/24"))
    finally:
        processes.close()
