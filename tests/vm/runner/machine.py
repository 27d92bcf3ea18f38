"""Booting the virtual machine: one qemu process, without KVM, ended by us whatever happens."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm.runner.kernel import VmKernel

QEMU = "qemu-system-x86_64"
_GUEST = Path(__file__).parent.parent / "guest"
_BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_rng")
_KERNEL_WORDS = (
    "console=ttyS0 quiet panic=-1",
    # Nothing that a network sees; each saves work that emulation makes dear.
    "mitigations=off nokaslr init_on_alloc=0 audit=0 apparmor=0 rcupdate.rcu_expedited=1",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of the guest."""

    exit_code: int | None
    """Of the script; None when the guest never came to its end."""
    console: str
    seconds: float


def run_in_vm(
    kernel: VmKernel, script: str, work: Path, *, timeout_s: float, show: Callable[[str], None]
) -> Outcome:
    """Boot, run a shell script as root in the guest, and wait for the end.

    Args:
        work: an empty folder; the guest has it at /run/vm, and leaves there what is to be kept.
        show: is called with each piece of what the script prints, soon after it was printed.
    """
    start = time.monotonic()
    (work / "script").write_text(script)
    (work / "log").touch()
    initrd = work / "initrd"
    initrd.write_bytes(gzip.compress(_initial_disk(kernel), 1))
    console = work / "console"
    with console.open("wb") as printed, (work / "log").open() as log:
        qemu = subprocess.Popen(
            _qemu_command(kernel, initrd, work),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        try:
            while qemu.poll() is None and time.monotonic() - start < timeout_s:
                time.sleep(0.2)
                show(log.read())
        finally:
            qemu.kill()
            qemu.wait(10)
        show(log.read())
    code = work / "exit-code"
    exit_code = int(code.read_text()) if code.exists() and code.read_text().strip() else None
    return Outcome(exit_code, console.read_text(errors="replace"), time.monotonic() - start)


def _qemu_command(kernel: VmKernel, initrd: Path, work: Path) -> list[str]:
    def share(tag: str, folder: Path, *options: str) -> list[str]:
        words = [f"local,id={tag}", f"path={folder}", "security_model=none", "multidevs=remap", *options]
        return ["-fsdev", ",".join(words), "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    return [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        # No KVM: where machines are virtual themselves it is often offered and then hangs.
        *("-accel", "tcg,thread=multi,tb-size=768", "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"),
        *("-smp", "2", "-m", "2G", "-serial", "stdio", "-device", "virtio-rng-pci"),
        *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", " ".join(_KERNEL_WORDS)),
        *share("machine", Path("/"), "readonly=on"),
        *share("modules", kernel.modules, "readonly=on"),
        *share("work", work),
    ]


def _initial_disk(kernel: VmKernel) -> bytes:
    """Pack what the guest needs until it sees the machine's files."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is missing: install busybox-static")
    packed = bytearray()
    for folder in ("bin", "dev", "modules", "proc", "root", "sys"):
        packed += _entry(folder, 0o040755, b"")
    packed += _entry("bin/busybox", 0o100755, Path(busybox).read_bytes())
    packed += _entry("init", 0o100755, (_GUEST / "init").read_bytes())
    packed += _entry("boot", 0o100755, (_GUEST / "boot").read_bytes())
    for number, path in enumerate(kernel.files_of(*_BOOT_MODULES)):
        packed += _entry(f"modules/{number:02}-{path.name}", 0o100644, path.read_bytes())
    return bytes(packed + _entry("TRAILER!!!", 0, b""))


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """Write one entry of a cpio archive in the "newc" form.

    Source: kernel.org, Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device and rdevice (major, minor), name's size, checksum
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
