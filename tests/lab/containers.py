"""What the container engines of the lab share: an image made on the spot, and private system folders."""

import contextlib
import functools
import io
import os
import shlex
import signal
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab.commands import LabError, end_process, run
from tests.lab.host import LabHost

IMAGE = "busybox:local"
_BUSYBOX = Path("/bin/busybox")
_LIFETIME_S = 3600


@functools.cache
def busybox_image() -> bytes:
    """Pack a root file system from the machine's own static busybox, so that no registry is needed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var", "www"):
            _add(tar, name, tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        _add(tar, "bin/busybox", tarfile.REGTYPE, _BUSYBOX.read_bytes())
        for applet in run([str(_BUSYBOX), "--list"]).stdout.split():
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", tarfile.REGTYPE, b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644)
        _add(tar, "etc/group", tarfile.REGTYPE, b"root:x:0:\n", mode=0o644)
    return packed.getvalue()


def _add(
    tar: tarfile.TarFile, name: str, kind: bytes, content: bytes = b"", *, mode: int = 0o755, link: str = ""
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(content)
    tar.addfile(entry, io.BytesIO(content))


class MountHolder:
    """A mount namespace that outlives the engine in it, with some system folders replaced by the lab's own.

    Engines keep state at fixed places (/run/docker, /run/containers), where two of them would meet.
    """

    def __init__(self, host: LabHost, folder: Path, replaced: Mapping[str, Path]) -> None:
        self._folder = folder
        lines = ["set -e"]
        for target, own in replaced.items():
            own.mkdir(parents=True, exist_ok=True)
            there, here = shlex.quote(target), shlex.quote(str(own))
            lines.append(f"mkdir -p {there}; mount --bind {here} {there}")
        script = "\n".join([*lines, "echo ready", f"exec sleep {_LIFETIME_S}"])
        self._process = host.popen(
            "unshare", "--mount", "sh", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline().strip()
        if first != "ready":
            self.close()
            raise LabError(f"replacing {', '.join(replaced)} for {host.name}: {first}")

    def command(self, *argv: str) -> list[str]:
        """Say how to run `argv` in the host's network namespace and this mount namespace."""
        return ["nsenter", "--target", str(self._process.pid), "--mount", "--net", "--", *argv]

    def close(self) -> None:
        """Let go of the mounts, and end whatever still lives on files of the engine's folder."""
        end_process(self._process)
        for pid in self._inhabitants():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)

    def _inhabitants(self) -> list[int]:
        # An engine that was killed leaves its containers running, in namespaces that nobody has a list of.
        # Their mounts tell whose they are: the folder's name is random, and mounted only inside the engine.
        tables = Path("/proc").glob("[0-9]*/mountinfo")
        return [int(table.parent.name) for table in tables if self._names_us(table)]

    def _names_us(self, mount_table: Path) -> bool:
        try:
            # Only the name: paths in there begin at the root of the file system that holds the folder.
            return self._folder.name in mount_table.read_text(errors="replace")
        except OSError:  # that process is gone
            return False
