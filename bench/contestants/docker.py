"""`docker network connect`, as a command and through the daemon's HTTP API.

A container that runs already gets one more network. Docker publishes no port at that moment, so these two
figures are of *less* work than the others'. The daemon lives in a host and a mount namespace of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.command import CommandError, environment, find_program, run, stop
from bench.contestants import Reach, Target, UnavailableError
from bench.lab import CONTAINER_PORT, Host

_NETWORK = "bench"
_IMAGE = "busybox:local"
_API = "/v1.40"
_START_S = 40.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; the connection is kept alive, as a good client does."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        """Reach the daemon's socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(slots=True)
class DockerEngine:
    """One daemon for both docker contestants; the first to set up starts it, the last to close ends it."""

    host: Host | None = None
    _docker: str = ""
    _directory: Path = Path()
    _daemon: subprocess.Popen[bytes] | None = None
    _containers: list[str] = field(default_factory=list)
    _users: int = 0

    @property
    def socket_path(self) -> Path:
        """Where the daemon listens."""
        return self._directory / "docker.sock"

    def acquire(self, host: Host, directory: Path) -> None:
        """Start the daemon with an image and a network, unless it runs already."""
        self._users += 1
        if self._daemon is not None:
            return
        dockerd, docker, busybox = (find_program(name) for name in ("dockerd", "docker", "busybox"))
        if dockerd is None or docker is None or busybox is None:
            raise UnavailableError("dockerd, docker and a static busybox are not all installed")
        self.host, self._docker, self._directory = host, docker, directory
        self._start(dockerd)
        self._import_image(Path(busybox))
        self.command("network", "create", _NETWORK)

    def release(self) -> None:
        """End the daemon and its containers when nobody needs them any more."""
        self._users -= 1
        if self._users > 0 or self._daemon is None:
            return
        try:
            for container in self._containers:
                # a container that cannot be removed must not keep the daemon alive
                with contextlib.suppress(CommandError):
                    self.command("rm", "-f", container)
        finally:
            stop(self._daemon)
            self._daemon = None
            _end_containerd(self._directory)

    def command(self, *words: str) -> str:
        """Run the docker client against this daemon."""
        return run([self._docker, "-H", f"unix://{self.socket_path}", *words], env=self._environment())

    def _environment(self) -> dict[str, str]:
        return environment(HOME=str(self._directory), DOCKER_CONFIG=str(self._directory))

    def _start(self, dockerd: str) -> None:
        assert self.host is not None
        here = self._directory
        log = (here / "dockerd.log").open("wb")
        with log:
            # each of these becomes the next, so the child's pid is the daemon's
            argv = ["unshare", "-m", dockerd, "--data-root", f"{here}/data", "--exec-root", f"{here}/exec"]
            argv += ["-p", f"{here}/pid", "-H", f"unix://{self.socket_path}", "--storage-driver", "vfs"]
            self._daemon = self.host.thread.call(
                lambda: subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
                )
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.command("version")
                return
            except CommandError as error:
                if time.monotonic() > deadline or self._daemon.poll() is not None:
                    tail = (here / "dockerd.log").read_text()[-600:]
                    raise UnavailableError(f"dockerd did not start: {tail}") from error
                time.sleep(0.2)

    def _import_image(self, busybox: Path) -> None:
        archive = self._directory / "rootfs.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(busybox.resolve(), "bin/busybox")
            directory = tarfile.TarInfo("tmp")
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(directory, io.BytesIO())
        self.command("import", str(archive), _IMAGE)

    def run_container(self, name: str) -> Path:
        """Start a sleeping container on the default bridge and return the path of its namespace."""
        self.command(
            "run", "-d", "--name", name, "--stop-timeout", "0", _IMAGE, "/bin/busybox", "sleep", "3600"
        )
        self._containers.append(name)
        pid = self.command("inspect", "-f", "{{.State.Pid}}", name).strip()
        return Path(f"/proc/{pid}/ns/net")

    def address(self, container: str) -> str:
        """The address a container has on the measured network."""
        networks = json.loads(self.command("inspect", "-f", "{{json .NetworkSettings.Networks}}", container))
        return str(networks[_NETWORK]["IPAddress"])


def _end_containerd(directory: Path) -> None:
    """dockerd ends its own containerd; if it was killed before it could, do it by the pid it wrote down."""
    pid_file = directory / "exec/containerd/containerd.pid"
    # both files vanish when all went well
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int(pid_file.read_text())
        if str(directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class _DockerContestant:
    """What both docker contestants share: a running container and how to reach it from the host."""

    engine: DockerEngine
    name: str = ""
    label: str = ""
    in_host: bool = False
    _container: str = ""
    _netns: Path = Path()

    def setup(self, host: Host, state_dir: Path) -> None:
        """Start the daemon, if the other contestant has not, and a container."""
        self.engine.acquire(host, state_dir)
        self._container = self.name.replace("_", "-")
        self._netns = self.engine.run_container(self._container)

    def prepare(self, _target: Target) -> None:
        """The container is there already; the target's own namespace is not used."""

    def reach(self, _target: Target) -> Reach:
        """From the host straight to the container, as no port is published."""
        assert self.engine.host is not None
        address = self.engine.address(self._container)
        return Reach(self._netns, self.engine.host.netns, address, CONTAINER_PORT)

    def detach(self, _target: Target) -> None:
        self.engine.command("network", "disconnect", _NETWORK, self._container)

    def close(self) -> None:
        self.engine.release()


@dataclass(slots=True)
class DockerCommand(_DockerContestant):
    """The whole command, the start of the client included."""

    name: str = "docker"
    label: str = "docker network connect (no port published)"

    def attach(self, _target: Target) -> None:
        """Run the client."""
        self.engine.command("network", "connect", _NETWORK, self._container)


@dataclass(slots=True)
class DockerApi(_DockerContestant):
    """The same request on a kept-alive connection, no client to start."""

    name: str = "docker_api"
    label: str = "Docker's HTTP API (no port published)"
    _connection: _UnixConnection | None = None

    def prepare(self, _target: Target) -> None:
        """Open the connection and use it once."""
        if self._connection is None:
            self._connection = _UnixConnection(self.engine.socket_path)
            self._ask("GET", "/_ping", None)

    def attach(self, _target: Target) -> None:
        """Send the request the client would send."""
        self._ask("POST", f"{_API}/networks/{_NETWORK}/connect", {"Container": self._container})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> None:
        assert self._connection is not None
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, body=text, headers={"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise CommandError(f"{method} {path}: {answer.status}: {said.decode(errors='replace')}")

    def close(self) -> None:
        """Close the connection, then the daemon."""
        if self._connection is not None:
            self._connection.close()
        # not super(): a slotted dataclass is a new class, which the cell of super() does not know
        _DockerContestant.close(self)
