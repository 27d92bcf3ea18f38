"""Containers of other engines, found by name: their process, and through it their network namespace.

The engine is asked each time and nothing is remembered: a container that restarted has another process.
Whether its namespace may be touched (a container in host mode has none of its own) is the caller's business.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Mapping
from dataclasses import dataclass

from ductwork.errors import Denied, DuctworkError, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ductwork.kernel.container_sources import Found, Run, Source, source_of
from ductwork.kernel.tools import run_tool

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHORT_ID_CHARS = 12  # as engines print them; a shorter beginning of an id is too easily a name
_START = {"docker": "docker start {}", "podman": "podman start {}", "lxc": "lxc-start -n {}"}
_LIST = {"docker": "docker ps -a", "podman": "podman ps -a", "lxc": "lxc-ls -f"}


@dataclass(frozen=True, slots=True)
class Container:
    """A running container of another engine.

    Attributes:
        kind: "docker", "podman" or "lxc".
        pid: its first process, as this machine counts.
        network_mode: in the engine's words, "host" when it shares the host's stack; empty when the engine
            does not say (LXC).
        hosts_path: the file on the host that is its /etc/hosts, empty when there is none.
    """

    kind: str
    id: str
    name: str
    pid: int
    network_mode: str = ""
    hosts_path: str = ""


class ContainerEngines:
    """The container engines of a machine.

    Environment: DOCKER_HOST and CONTAINER_HOST (unix:// only) as the engines' own clients read them;
    DUCTWORK_PODMAN is the whole command that runs Podman here, words separated as in a shell.

    Args:
        run: runs LXC's tools; it must do so in the network namespace of the host the containers belong to.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, run: Run = run_tool) -> None:
        self._environ = os.environ if environ is None else environ
        self._run = run

    def find(self, kind: str, name: str) -> Container:
        """Find a running container by its name or id.

        Raises:
            NotFound: the engine has no such container.
            FailedPrecondition: it does not run, or the engine is not installed.
            Unavailable, Denied: the engine cannot be asked.
            InvalidArgument: no engine is called so, or no container can be.
        """
        source = self._source(kind)
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"{kind} container name {name!r} is not possible",
                hint="use letters, digits, '.', '_' and '-', and begin with a letter or digit",
            )
        found = source.describe(name)
        if found is None:
            raise NotFound(
                f"there is no {kind} container {name}",
                hint=f"list them with: {_LIST[kind]}",
                subject="container",
                name=name,
            )
        if not found.pid or not _is_alive(found.pid):
            raise _not_running(kind, found)
        return _container(kind, found)

    def running(self, kind: str) -> list[Container]:
        """List an engine's running containers.

        Raises:
            FailedPrecondition, Unavailable, Denied: the engine cannot be asked.
        """
        return [_container(kind, found) for found in self._source(kind).running() if _is_alive(found.pid)]

    def exists(self, kind: str, name: str) -> bool:
        """Say whether a container of that name exists, running or not; an absent engine has none."""
        try:
            source = self._source(kind)
            if not _NAME.fullmatch(name) or not source.may_have_containers():
                return False
            found = source.describe(name)
        except DuctworkError:
            return False
        # Engines take any beginning of an id for the container; here that would make plain words ambiguous.
        by_id = found is not None and len(name) >= _SHORT_ID_CHARS and found.id.startswith(name)
        return found is not None and (found.name == name or by_id)

    def _source(self, kind: str) -> Source:
        return source_of(kind, self._environ, self._run)


def open_namespace_fd(pid: int) -> int:
    """Open a process's network namespace, and make sure that it was this process's.

    A pid may be reused between looking at it and opening what it names; a pidfd held meanwhile tells.

    Raises:
        NotFound: there is no such process, or it ended meanwhile.
        Denied: it may not be looked into.
    """
    gone = NotFound(
        f"there is no process {pid}", hint="is it still running?", subject="process", name=str(pid)
    )
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:  # ESRCH; EINVAL for what can be no process: 0, negative, a thread
        raise gone from None
    try:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise Denied(
            f"opening the network namespace of process {pid}: no permission", hint="run as root"
        ) from None
    except OSError:
        raise gone from None
    else:
        if _has_exited(pidfd):
            os.close(fd)
            raise gone
        return fd
    finally:
        os.close(pidfd)


def _container(kind: str, found: Found) -> Container:
    return Container(kind, found.id, found.name, found.pid, found.network_mode, found.hosts_path)


def _not_running(kind: str, found: Found) -> DuctworkError:
    if found.status == "restarting":
        return Unavailable(
            f"{kind} container {found.name} is restarting",
            hint="try again when it runs",
            subject="container",
            name=found.name,
        )
    return FailedPrecondition(
        f"{kind} container {found.name} is not running",
        hint=f"start it with: {_START[kind].format(found.name)}",
        subject="container",
        name=found.name,
    )


def _is_alive(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        return not _has_exited(pidfd)
    finally:
        os.close(pidfd)


def _has_exited(pidfd: int) -> bool:
    """Say whether a process has ended: its pidfd becomes readable, pidfd_open(2)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
