"""Where each engine tells about its containers: Docker's API, Podman's API or command, LXC's commands."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

from ductwork.errors import FailedPrecondition, InvalidArgument, Unavailable
from ductwork.kernel.unix_http import UnixHttp

# A tool's exit code and output; `tools.run_tool` bound to a namespace is one.
Run: TypeAlias = Callable[[Sequence[str]], tuple[int, str]]

_DOCKER_SOCKET = "/run/docker.sock"
_PODMAN_SOCKET = "/run/podman/podman.sock"
_PROBE_TIMEOUT_S = 1.0
_PODMAN_TIMEOUT_S = 30.0  # Podman has no daemon: a first command after boot sorts out what is left
_PODMAN_NO_SUCH = 125
_PODMAN_SETTINGS = ("DUCTWORK_PODMAN", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")
# Where root's Podman keeps its data and its run-time state, whatever its settings say about the other one.
_PODMAN_FOLDERS = ("/var/lib/containers/storage", "/run/libpod")


@dataclass(frozen=True, slots=True)
class Found:
    """A container as its engine tells about it; `pid` is 0 unless it runs."""

    id: str
    name: str
    pid: int
    status: str
    network_mode: str = ""
    hosts_path: str = ""


class Source(Protocol):
    """One way to ask one engine."""

    def describe(self, name: str) -> Found | None:
        """Look at one container; None when there is no such container."""
        ...

    def running(self) -> list[Found]:
        """Look at all that run."""
        ...

    def may_have_containers(self) -> bool:
        """Say at next to no cost whether asking makes sense at all."""
        ...


class ApiSource:
    """An engine that speaks Docker's HTTP API; Podman's service does, too."""

    def __init__(self, who: str, socket_path: str, hint: str) -> None:
        self._who = who
        self._path = socket_path
        self._hint = hint

    def describe(self, name: str) -> Found | None:
        """Inspect one container."""
        with self._open() as http:
            return _described(http, name)

    def running(self) -> list[Found]:
        """List, then inspect each, as the list has no pids."""
        with self._open() as http:
            ids = [str(item["Id"]) for item in http.get("/containers/json") or []]
            # One that ended between the list and the look is not running.
            found = [_described(http, identity) for identity in ids]
        return [container for container in found if container is not None and container.pid]

    def may_have_containers(self) -> bool:
        """Look whether there is a socket."""
        return Path(self._path).is_socket()

    def _open(self) -> UnixHttp:
        return UnixHttp(self._who, self._path, self._hint)


def _described(http: UnixHttp, name: str) -> Found | None:
    answer = http.get(f"/containers/{quote(name, safe='')}/json")
    return None if answer is None else _read_inspect(answer)


def _read_inspect(answer: Mapping[str, Any]) -> Found:
    """Read what `docker inspect` and `podman container inspect` agree on."""
    try:
        state = answer["State"]
        return Found(
            id=str(answer["Id"]),
            name=str(answer["Name"]).removeprefix("/"),
            pid=int(state["Pid"]) if state["Running"] or state.get("Paused") else 0,
            status=str(state["Status"]),
            network_mode=str((answer.get("HostConfig") or {}).get("NetworkMode") or ""),
            hosts_path=str(answer.get("HostsPath") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"reading about a container: the engine's answer has no usable {error}",
            hint="is this Docker or Podman of a version Ductwork knows?",
        ) from None


class PodmanCommand:
    """Podman without its service: the command, as DUCTWORK_PODMAN says it or plain `podman`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._words = shlex.split(environ.get("DUCTWORK_PODMAN", "")) or ["podman"]

    def describe(self, name: str) -> Found | None:
        """Inspect one container."""
        code, output, complaint = self._call("container", "inspect", name)
        if code == _PODMAN_NO_SUCH and "no such container" in complaint.lower():
            return None
        found = self._read(code, output, complaint)
        return found[0] if found else None

    def running(self) -> list[Found]:
        """List, then inspect all at once."""
        code, output, complaint = self._call("ps", "--quiet", "--no-trunc")
        if code != 0:
            raise self._refused(code, complaint)
        names = output.split()
        if not names:
            return []
        # A container that ended meanwhile makes the exit code bad; the others are printed all the same.
        code, output, complaint = self._call("container", "inspect", *names)
        gone = "no such container" in complaint.lower()
        return [found for found in self._read(0 if gone else code, output, complaint) if found.pid]

    def may_have_containers(self) -> bool:
        """Look whether Podman is there and was ever used."""
        if any(self._environ.get(name) for name in _PODMAN_SETTINGS):
            return True
        here = shutil.which("podman", path=self._environ.get("PATH")) is not None
        return here and any(Path(folder).exists() for folder in _PODMAN_FOLDERS)

    def _call(self, *args: str) -> tuple[int, str, str]:
        argv = [*self._words, *args]
        try:
            done = subprocess.run(
                argv,
                env={**self._environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PODMAN_TIMEOUT_S,
                check=False,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise FailedPrecondition(
                f"running {argv[0]}: {error.strerror}",
                hint="install the package podman, or set DUCTWORK_PODMAN to the command that works here",
            ) from None
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"running {shlex.join(argv)}: it did not end within {_PODMAN_TIMEOUT_S:g} s",
                hint="try again, or look what podman is waiting for",
            ) from None
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def _read(self, code: int, output: str, complaint: str) -> list[Found]:
        try:
            answers = json.loads(output) if code == 0 else None
        except ValueError:
            answers = None
        if not isinstance(answers, list):
            raise self._refused(code, complaint)
        return [_read_inspect(answer) for answer in answers]

    def _refused(self, code: int, complaint: str) -> Unavailable:
        lines = complaint.strip().splitlines() if code != 0 else []
        reason = lines[-1] if lines else f"exit code {code} and no usable answer"
        return Unavailable(f"asking podman: {reason}", hint=f"try: {shlex.join([*self._words, 'ps'])}")


class LxcCommands:
    """LXC: `lxc-info` asks a container's monitor over a socket of the host's network namespace."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def describe(self, name: str) -> Found | None:
        """Ask for the pid; for a container that does not run nothing is printed."""
        code, output = self._call("lxc-info", "--name", name, "--pid", "--no-humanize")
        said = output.strip()
        if "doesn't exist" in said:
            return None
        if code != 0 or not (said.isdigit() or not said):
            raise Unavailable(
                f"asking lxc-info about {name}: {said or f'exit code {code}'}", hint="run as root"
            )
        return Found(name, name, int(said or 0), "running" if said else "stopped")

    def running(self) -> list[Found]:
        """List, then ask for each."""
        code, output = self._call("lxc-ls", "--running", "-1")
        if code != 0:
            raise Unavailable(f"asking lxc-ls: {output.strip()}", hint="run as root")
        found = [self.describe(name) for name in output.split()]
        return [container for container in found if container is not None and container.pid]

    def may_have_containers(self) -> bool:
        """Look whether LXC is there."""
        return shutil.which("lxc-info") is not None

    def _call(self, *argv: str) -> tuple[int, str]:
        try:
            return self._run(argv)
        except (FileNotFoundError, FailedPrecondition):
            raise FailedPrecondition(
                f"running {argv[0]}: it is not installed", hint="install the package lxc"
            ) from None


def source_of(kind: str, environ: Mapping[str, str], run: Run) -> Source:
    """Choose how to ask an engine, by its kind and the variables its own client knows.

    Raises:
        InvalidArgument: there is no such engine, or its variable names a machine that is not this one.
    """
    if kind == "docker":
        path = _socket_path("DOCKER_HOST", environ) or _DOCKER_SOCKET
        return ApiSource("Docker", path, "start Docker, or set DOCKER_HOST=unix://… to its socket")
    if kind == "podman":
        path = _socket_path("CONTAINER_HOST", environ)
        hint = "start Podman's service, or unset CONTAINER_HOST to have the podman command asked"
        if path:
            return ApiSource("Podman", path, hint)
        if not any(environ.get(name) for name in _PODMAN_SETTINGS) and _answers(_PODMAN_SOCKET):
            return ApiSource("Podman", _PODMAN_SOCKET, "start Podman's service")
        return PodmanCommand(environ)
    if kind == "lxc":
        return LxcCommands(run)
    raise InvalidArgument(f"there is no container engine {kind!r}", hint="known: docker, podman, lxc")


def _socket_path(variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "")
    if value and not value.startswith("unix://"):
        raise InvalidArgument(
            f"{variable} is {value!r}: only containers of this machine have namespaces here",
            hint=f"set {variable}=unix://… to a socket of this machine, or unset it",
        )
    return value.removeprefix("unix://")


def _answers(path: str) -> bool:
    """Say whether somebody listens; a service that was stopped leaves its socket's file behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        return probe.connect_ex(path) == 0
