"""The real kernel of one host: sockets per namespace, opened once and used from any thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ductwork.errors import FailedPrecondition
from ductwork.kernel import foreign
from ductwork.kernel.conntrack import ConntrackSocket
from ductwork.kernel.enter import Enter
from ductwork.kernel.files import write_hosts
from ductwork.kernel.iptables import Run
from ductwork.kernel.netlink.route import RouteSocket
from ductwork.kernel.netns import create_namespace, delete_namespace, namespace_paths
from ductwork.kernel.nft import NftSocket
from ductwork.kernel.ports import NamespaceInfo
from ductwork.kernel.sockets import LocalSockets
from ductwork.kernel.spaces import Spaces, boot_id
from ductwork.kernel.sysctl import ProcSysctl
from ductwork.kernel.tools import run_tool
from ductwork.model.foreign import ForeignView
from ductwork.model.objects import HOST, Add, NsKey, Remove, Step


class LinuxKernel:
    """A host's kernel; `netns` is the path of the namespace that is the host, empty for the caller's own.

    Raises:
        FileNotFoundError, PermissionError: the host's namespace cannot be opened.
    """

    def __init__(self, netns: str = "") -> None:
        self._spaces = Spaces()
        self.bind(HOST, netns or f"/proc/{os.getpid()}/ns/net")

    def bind(self, key: NsKey, path: str) -> NamespaceInfo:
        """Open the namespace at a path and use it for `key`."""
        return self._spaces.bind(key, path)

    def unbind(self, key: NsKey) -> None:
        """Close what is open in a namespace."""
        self._spaces.unbind(key)

    def release(self) -> None:
        """Close every namespace but the host's: an open one outlives its container."""
        self._spaces.release()

    def is_the_machines(self, path: str) -> bool:
        """Say whether a namespace is the machine's own or the caller's, which a lab must not change."""
        files = [_file_of(place) for place in (path, "/proc/1/ns/net", "/proc/self/ns/net")]
        return files[0] is not None and files[0] in files[1:]

    @property
    def boot_id(self) -> str:
        """Return the kernel's own name for this boot."""
        return boot_id()

    @property
    def batch_limit(self) -> int:
        """How many namespaces one batch may touch."""
        return self._spaces.limit // 2

    def bound(self, key: NsKey) -> NamespaceInfo | None:
        """Return the namespace a key stands for."""
        return self._spaces.info(key)

    def create_namespace(self, path: str) -> None:
        """Make a namespace pinned at path."""
        create_namespace(path)

    def delete_namespace(self, path: str) -> None:
        """Unpin a namespace, or take a symbolic link away."""
        if Path(path).is_symlink():
            Path(path).unlink(missing_ok=True)
        else:
            delete_namespace(path)

    def name_namespace(self, path: str, points_to: str) -> None:
        """Make a symbolic link to a namespace file of /proc."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(path) == points_to:  # noqa: PTH115  (the text, not the resolved path)
                return
        Path(path).symlink_to(points_to)

    def namespace_paths(self, folder: str) -> list[str]:
        """Return the paths of the namespaces pinned in a folder."""
        return namespace_paths(folder)

    def route(self, key: NsKey) -> RouteSocket:
        """Return rtnetlink in a namespace."""
        return self._spaces[key].route

    def nft(self, key: NsKey) -> NftSocket:
        """Return nftables in a namespace."""
        return self._spaces[key].nft()

    def sysctl(self, key: NsKey) -> ProcSysctl:
        """Return the sysctls of a namespace."""
        return ProcSysctl(self._enter(key))

    def conntrack(self, key: NsKey) -> ConntrackSocket:
        """Return connection tracking in a namespace."""
        return self._spaces[key].conntrack()

    def sockets(self, key: NsKey) -> LocalSockets:
        """Return the local sockets of a namespace."""
        return LocalSockets(self._enter(key))

    def observe_foreign(self, key: NsKey) -> ForeignView:
        """Look at other people's forward chains."""
        nft = self.nft(key)
        enter = self._enter(key)
        chains = nft.base_chains()
        return foreign.observe_foreign(
            chains, self._runner(key), nft.run, lambda: enter(foreign.read_legacy_tables)
        )

    def apply_foreign(self, key: NsKey, step: Step) -> None:
        """Add or remove one accept in another firewall."""
        if not isinstance(step, (Add, Remove)):
            raise FailedPrecondition("an accept in another firewall is added or removed, never changed")
        foreign.apply_foreign(step, self._runner(key), self.nft(key).run)

    def run(self, key: NsKey, argv: Sequence[str], stdin: str = "") -> tuple[int, str]:
        """Run a tool in a namespace."""
        return run_tool(argv, stdin=stdin, enter=self._enter(key))

    def write_hosts(self, where: str, lines: Sequence[str]) -> None:
        """Make `lines` our block of a hosts file."""
        write_hosts(where, lines)

    def close(self) -> None:
        """Close every namespace and end the opener's thread."""
        self._spaces.close()

    def _enter(self, key: NsKey) -> Enter:
        return self._spaces[key].bound.enter

    def _runner(self, key: NsKey) -> Run:
        def run(argv: Sequence[str], stdin: str = "", /) -> tuple[int, str]:
            return run_tool(argv, stdin=stdin, enter=self._enter(key))

        return run


def _file_of(path: str) -> tuple[int, int] | None:
    """Return what tells two files apart, None for one that cannot be looked at."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
