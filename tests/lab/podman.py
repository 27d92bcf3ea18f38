"""Real Podman in a lab host: storage, settings and run-time folders of its own, and no daemon."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tests.lab.commands import Result, run
from tests.lab.containers import IMAGE, MountHolder, busybox_image
from tests.lab.host import LabHost

Backend = Literal["netavark", "cni"]
_NETAVARK = Path("/usr/lib/podman/netavark")

# crun refuses machines with both kinds of control groups; the limits and the cgroup manager suit machines
# without systemd, containers included.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:2048"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
static_dir = {static}
tmp_dir = {tmp}
volume_path = {volumes}
[network]
network_backend = {backend}
network_config_dir = {networks}
"""
_STORAGE_CONF = """\
[storage]
driver = "vfs"
graphroot = {graph}
runroot = {run}
"""


class PodmanEngine:
    """One host's Podman; `env` alone lets any other program find its containers."""

    def __init__(self, host: LabHost, folder: Path, backend: Backend) -> None:
        self.host = host
        self.folder = folder
        self.networks_dir = folder / "networks"
        self.env = self._write_settings(backend)
        own = {"/run/containers": "containers", "/run/netns": "netns", "/var/lib/cni": "cni"}
        replaced = {target: folder / name for target, name in own.items()}
        self._holder = MountHolder(host, folder, replaced)

    def _write_settings(self, backend: Backend) -> dict[str, str]:
        places = {
            "static": "libpod",
            "tmp": "tmp",
            "volumes": "volumes",
            "networks": "networks",
            "graph": "graph",
            "run": "run",
        }
        # JSON's strings are TOML's.
        quoted = {key: json.dumps(str(self.folder / name)) for key, name in places.items()}
        containers, storage = self.folder / "containers.conf", self.folder / "storage.conf"
        containers.write_text(_CONTAINERS_CONF.format(backend=json.dumps(backend), **quoted))
        storage.write_text(_STORAGE_CONF.format(**quoted))
        return {"CONTAINERS_CONF": str(containers), "CONTAINERS_STORAGE_CONF": str(storage)}

    def podman(self, *args: str, check: bool = True, timeout: float = 60, stdin: str = "") -> Result:
        """Run Podman on this host."""
        argv = self._holder.command("podman", *args)
        return run(argv, check=check, timeout=timeout, env=self.env, stdin=stdin)

    def run_container(self, name: str, *cmd: str, options: Sequence[str] = ()) -> str:
        """Start a container in the background and return its id; without a command it only waits."""
        command = cmd or ("sleep", "3600")
        settings = ("--pull=never", "--name", name, "--stop-timeout", "1", *options)
        return self.podman("run", "-d", *settings, f"localhost/{IMAGE}", *command).stdout.strip()

    def exec(self, name: str, *cmd: str, check: bool = True, timeout: float = 20) -> Result:
        """Run a command in a running container."""
        return self.podman("exec", name, *cmd, check=check, timeout=timeout)

    def pid(self, name: str) -> int:
        """Return the process id of a running container's first process, as the machine sees it."""
        return int(self.podman("inspect", "--format", "{{.State.Pid}}", name).stdout)

    def import_image(self) -> None:
        """Give the engine the one image that tests use."""
        archive = self.folder / "image.tar"
        archive.write_bytes(busybox_image())
        self.podman("import", str(archive), f"localhost/{IMAGE}")

    def close(self) -> None:
        """Remove the containers and delete all data."""
        self.podman("rm", "--all", "--force", check=False)
        self._holder.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def podman_engine(host: LabHost, backend: Backend | None = None) -> Iterator[PodmanEngine]:
    """Offer Podman in a host for a `with` block, with the image `localhost/busybox:local` in it.

    Without a choice of `backend` it is netavark, or CNI where netavark is not installed (Ubuntu 22.04).
    """
    folder = host.state_dir.with_name(f"{host.state_dir.name}-podman")
    folder.mkdir()
    engine = PodmanEngine(host, folder, backend or ("netavark" if _NETAVARK.exists() else "cni"))
    try:
        engine.import_image()
        yield engine
    finally:
        engine.close()
