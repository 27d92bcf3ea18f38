"""The kernels under test, each with a hand that does what somebody else on the machine would do."""

from __future__ import annotations

import os
import secrets
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ductwork.kernel.fake import FakeKernel
from ductwork.kernel.ports import Kernel


class Machine(Protocol):
    """A kernel to test, and a folder for sandboxes' namespaces."""

    kernel: Kernel
    folder: str

    def stranger(self, name: str) -> int:
        """Make a bridge that is not ours in the host and return its index."""
        ...

    def ordinary_file(self, path: str) -> None:
        """Make a file that is no namespace."""
        ...


class FakeMachine:
    def __init__(self) -> None:
        self.fake = FakeKernel()
        self.kernel: Kernel = self.fake
        self.folder = "/run/sandboxes"

    def stranger(self, name: str) -> int:
        return self.fake.host.add_link(name, "bridge").ifindex

    def ordinary_file(self, path: str) -> None:
        self.fake.files.add(path)


class RealMachine:
    def __init__(self, folder: Path) -> None:
        from ductwork.kernel.linux import LinuxKernel

        self.name = f"t{secrets.token_hex(5)}"
        self.folder = str(folder)
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=10)
        self.kernel: Kernel = LinuxKernel(f"/run/netns/{self.name}")

    def stranger(self, name: str) -> int:
        ip = ["ip", "-n", self.name]
        subprocess.run([*ip, "link", "add", name, "type", "bridge"], check=True, timeout=10)
        shown = subprocess.run(
            [*ip, "-o", "link", "show", name], check=True, timeout=10, capture_output=True, text=True
        )
        return int(shown.stdout.split(":")[0])

    def ordinary_file(self, path: str) -> None:
        Path(path).touch()

    def close(self) -> None:
        try:
            for path in self.kernel.namespace_paths(self.folder):
                self.kernel.delete_namespace(path)
            self.kernel.close()
        finally:
            subprocess.run(["ip", "netns", "delete", self.name], check=True, timeout=10)


def real_is_missing() -> str:
    if find_spec("ductwork.kernel.linux") is None:
        return "ductwork.kernel.linux does not exist"
    return "" if os.geteuid() == 0 else "network namespaces need root"
