"""Getting the kernel that users of this distribution run, without installing it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_META = "linux-image-amd64"
_DEPENDS = re.compile(r"^\s*Depends: linux-image-(\d\S*-amd64)$", re.MULTILINE)
# Enough for network tests; the rest of a kernel's modules are drivers of hardware that the guest has not.
_WANTED = (
    "./boot/vmlinuz-*",
    "./lib/modules/*/modules.*",
    *(f"./lib/modules/*/kernel/{part}/*" for part in ("arch", "crypto", "fs", "lib", "net")),
    *(f"./lib/modules/*/kernel/drivers/{part}/*" for part in ("char/hw_random", "net", "virtio")),
)


class NotRunError(Exception):
    """The VM part has no place on this machine; the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class VmKernel:
    """An unpacked kernel."""

    release: str
    image: Path
    root: Path
    """Holds lib/modules/RELEASE."""

    @property
    def modules(self) -> Path:
        return self.root / "lib" / "modules" / self.release

    def files_of(self, *modules: str) -> list[Path]:
        """List the files of modules and of all they need, in the order of loading."""
        found: dict[Path, None] = {}
        for name in modules:
            argv = ["modprobe", "-d", str(self.root), "-S", self.release, "--show-depends", name]
            for line in _run(argv).splitlines():
                kind, _, rest = line.partition(" ")
                if kind == "insmod":
                    found[Path(rest.split()[0])] = None
        return list(found)


def provide_kernel() -> VmKernel:
    """Return the distribution's current kernel, from the cache or downloaded.

    Raises:
        NotRunError: this distribution or processor has no stock Debian kernel.
    """
    if platform.machine() != "x86_64":
        raise NotRunError(f"the VM is made for x86_64, not {platform.machine()}")
    if shutil.which("apt-cache") is None or _distribution() != "debian":
        raise NotRunError(f"a stock Debian kernel is packaged on Debian only, this is {_distribution()}")
    release = _current_release() or _newest_cached()
    if not release:
        _run(["apt-get", "-qq", "update"])
        release = _current_release()
    if not release:
        raise NotRunError(f"{_META} is not packaged here")
    kernel = _cached(release)
    if not kernel.image.exists():
        _unpack(kernel)
    return kernel


def _distribution() -> str:
    return platform.freedesktop_os_release().get("ID", "unknown")


def _current_release() -> str:
    """Ask which kernel a Debian user gets today: the real package behind the metapackage's name."""
    result = subprocess.run(
        ["apt-cache", "depends", _META], capture_output=True, text=True, timeout=60, check=False
    )
    found = _DEPENDS.search(result.stdout)
    return found[1] if found else ""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ductwork" / "vm"


def _cached(release: str) -> VmKernel:
    root = _cache() / release
    return VmKernel(release, root / "boot" / f"vmlinuz-{release}", root)


def _newest_cached() -> str:
    if not _cache().exists():
        return ""
    folders = [path for path in _cache().iterdir() if not path.name.startswith(".")]
    return max(folders, key=lambda path: path.stat().st_mtime).name if folders else ""


def _unpack(kernel: VmKernel) -> None:
    """Fill the kernel's folder, which appears only when it is whole."""
    package = f"linux-image-{kernel.release}"
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=_cache()) as name:
        folder = Path(name)
        print(f"VM: downloading {package} into {_cache()}", flush=True)
        _run(["apt-get", "-qq", "download", package], folder)
        (deb,) = folder.glob("*.deb")
        unpacked = folder / "root"
        unpacked.mkdir()
        tar = ["tar", "--extract", "--wildcards", "--directory", str(unpacked), *_WANTED]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as source:
            subprocess.run(tar, stdin=source.stdout, timeout=300, check=True)
        _run(["depmod", "--basedir", str(unpacked), kernel.release])
        if not kernel.root.exists():
            unpacked.rename(kernel.root)


def _run(argv: list[str], folder: Path | None = None) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    result = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "PATH": path, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout
