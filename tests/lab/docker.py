"""A real Docker Engine in a lab host: its own daemon, data and sockets, apart from the machine's."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.commands import LabError, Result, end_process, is_alive, run, wait_until
from tests.lab.containers import IMAGE, MountHolder, busybox_image
from tests.lab.host import LabHost

_READY_WITHIN_S = 60
_STOP_WITHIN_S = 20


class DockerEngine:
    """One dockerd; `docker` runs the client against it."""

    def __init__(self, host: LabHost, folder: Path, dockerd_options: Sequence[str] = ()) -> None:
        self.host = host
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.plugins_dir = folder / "run" / "plugins"
        self.log = folder / "dockerd.log"
        self._options = dockerd_options
        self._holder = MountHolder(host, folder, {"/run/docker": folder / "run"})
        self._daemon: subprocess.Popen[str] | None = None
        self.plugins_dir.mkdir(parents=True)

    @property
    def env(self) -> dict[str, str]:
        """What any Docker client needs to find this engine."""
        return {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.folder / "client")}

    def add_plugin(self, name: str, plugin_socket: Path) -> None:
        """Let this engine find a plugin under a name; the socket may appear later."""
        link = self.plugins_dir / f"{name}.sock"
        link.unlink(missing_ok=True)
        link.symlink_to(plugin_socket)

    def start(self) -> None:
        """Start the daemon and wait until it answers.

        Raises:
            LabError: it ended or did not answer in time; the text has the end of its log.
        """
        argv = [
            "dockerd",
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *("--pidfile", str(self.folder / "pid"), "--host", f"unix://{self.socket}"),
            *("--storage-driver", "vfs", *self._options),
        ]
        with self.log.open("a") as log:
            daemon = self.host.popen_outside(self._holder.command(*argv), stdout=log, stderr=log)
        self._daemon = daemon
        try:
            wait_until(
                lambda: daemon.poll() is not None or self._answers(),
                f"dockerd ready in {self.host.name}",
                timeout=_READY_WITHIN_S,
                every=0.1,
            )
            if daemon.poll() is not None:
                raise LabError(f"dockerd in {self.host.name} ended with exit code {daemon.returncode}")
        except LabError as error:
            raise LabError(f"{error}\n{self.log.read_text()[-3000:]}") from None

    def stop(self) -> None:
        """Stop the daemon as a service manager would; without --live-restore its containers stop too."""
        if self._daemon is not None:
            end_process(self._daemon, grace=_STOP_WITHIN_S)
            self._daemon = None

    def kill(self) -> None:
        """End the daemon without a chance to tidy up."""
        if self._daemon is not None:
            self._daemon.kill()
            self.stop()
            self.socket.unlink(missing_ok=True)
            self._forget_containerd()

    def _forget_containerd(self) -> None:
        """Wait until the daemon's own containerd has died with it, as the kernel sees to.

        A dead one that the machine's first process has not buried yet looks alive to the next dockerd, which
        would wait for it in vain.
        """
        pid_file = self.folder / "exec" / "containerd" / "containerd.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text())
            wait_until(lambda: not is_alive(pid), f"containerd {pid} gone")
            pid_file.unlink()

    def docker(self, *args: str, check: bool = True, timeout: float = 60, stdin: str = "") -> Result:
        """Run the Docker client against this engine."""
        return run(["docker", *args], check=check, timeout=timeout, env=self.env, stdin=stdin)

    def run_container(self, name: str, *cmd: str, options: Sequence[str] = ()) -> str:
        """Start a container in the background and return its id; without a command it only waits."""
        command = cmd or ("sleep", "3600")
        # Most commands ignore SIGTERM as first process; waiting longer for them teaches nothing.
        settings = ("--name", name, "--stop-timeout", "1", *options)
        return self.docker("run", "-d", *settings, IMAGE, *command).stdout.strip()

    def exec(self, name: str, *cmd: str, check: bool = True, timeout: float = 20) -> Result:
        """Run a command in a running container."""
        return self.docker("exec", name, *cmd, check=check, timeout=timeout)

    def pid(self, name: str) -> int:
        """Return the process id of a running container's first process, as the machine sees it."""
        return int(self.docker("inspect", "--format", "{{.State.Pid}}", name).stdout)

    def import_image(self) -> None:
        """Give the engine the one image that tests use."""
        archive = self.folder / "image.tar"
        archive.write_bytes(busybox_image())
        self.docker("import", str(archive), IMAGE)

    def close(self) -> None:
        """Remove the containers, stop the daemon, delete its data."""
        if self._daemon is not None and self._answers():
            containers = self.docker("ps", "-aq", check=False).stdout.split()
            if containers:
                self.docker("rm", "-f", "-v", *containers, check=False)
        self.stop()
        self._holder.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                return b" 200 " in client.recv(4096)
            except OSError:
                return False


@contextlib.contextmanager
def docker_engine(host: LabHost, *dockerd_options: str) -> Iterator[DockerEngine]:
    """Run a Docker Engine in a host for a `with` block, with the image `busybox:local` in it."""
    folder = host.state_dir.with_name(f"{host.state_dir.name}-docker")
    folder.mkdir()
    engine = DockerEngine(host, folder, dockerd_options)
    try:
        engine.start()
        engine.import_image()
        yield engine
    finally:
        engine.close()
