"""The fake kernel itself: namespaces, what they are bound to, files and tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from errno import EACCES, EBUSY, EEXIST, ENOENT
from pathlib import PurePosixPath

from ductwork.kernel.fake.faults import Faults
from ductwork.kernel.fake.namespace import LO, FakeNamespace
from ductwork.kernel.fake.route import FakeRoute
from ductwork.kernel.fake.sysctl import FakeSysctl
from ductwork.kernel.fake.tables import FakeNft
from ductwork.kernel.fake.traffic import FakeConntrack, FakeSockets
from ductwork.kernel.ports import KernelError, NamespaceInfo
from ductwork.model.foreign import ForeignView
from ductwork.model.objects import HOST, Add, Change, ForeignAccept, NsKey, Step

TOOL_MISSING = 127  # what a shell answers for a command that is not there


class FakeKernel:
    """A host's kernel for tests; it implements the Kernel protocol.

    Attributes:
        host: the host's own namespace, with lo up.
        faults: refuses or dies at chosen steps; see also fail_at, die_at, restart.
        boot: the name of this boot; a test that wipes the kernel sets another.
        denied: paths that may not be opened.
        files: paths that exist but are no namespaces.
        tools: what `run` answers by whole argument list, or by the program's name alone.
        ran: every call of `run`: key, argument list, input.
        hosts: our block in each hosts file.
        names: symbolic links to namespaces; they keep nothing alive.
    """

    def __init__(self, netns: str = "/run/netns/host") -> None:
        self.faults = Faults()
        self.host = FakeNamespace(1)
        self.host.bring_up(self.host.links[LO])
        self.boot = "boot-1"
        self.denied: set[str] = set()
        self.files: set[str] = set()
        self.tools: dict[tuple[str, ...], tuple[int, str]] = {}
        self.ran: list[tuple[NsKey, tuple[str, ...], str]] = []
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.names: dict[str, str] = {}
        self._netns = netns
        self._cookies = 1
        self._paths: dict[str, FakeNamespace] = {netns: self.host}
        self._bound: dict[NsKey, tuple[NamespaceInfo, FakeNamespace]] = {}
        self.bind(HOST, netns)

    # -- for tests -----------------------------------------------------------------------------------------

    def fail_at(self, n: int, errno: int) -> None:
        """Let the n-th kernel-changing step from now on fail."""
        self.faults.fail_at(n, errno)

    def die_at(self, n: int) -> None:
        """Raise Killed before the n-th kernel-changing step from now on, and at every later one."""
        self.faults.die_at(n)

    @property
    def steps(self) -> int:
        """How many kernel-changing steps were begun so far."""
        return self.faults.steps

    def restart(self) -> None:
        """Begin as a new process on the same kernel: no planned faults, nothing bound but the host."""
        self.faults.reset()
        for key in list(self._bound):
            self.unbind(key)
        self.bind(HOST, self._netns)

    def declare_namespace(self, path: str, same_as: str = "") -> FakeNamespace:
        """Let somebody else's namespace exist at a path, or show an existing one at a second path."""
        space = self._paths[same_as] if same_as else self._new_namespace()
        self._paths[path] = space
        return space

    def forget_namespace(self, path: str) -> None:
        """Let somebody else's namespace go, as when its last process ends."""
        self._release(self._paths.pop(path, None))

    def namespace(self, path: str) -> FakeNamespace:
        """Return the namespace at a path."""
        return self._paths[path]

    def snapshot(self) -> dict[str, object]:
        """Return a comparable value of the whole machine; what is only bound to a key is not in it."""
        return {
            "namespaces": {path: space.snapshot() for path, space in sorted(self._paths.items())},
            "files": sorted(self.files),
            "hosts": dict(sorted(self.hosts.items())),
            "names": dict(sorted(self.names.items())),
        }

    # -- the Kernel protocol -------------------------------------------------------------------------------

    def bind(self, key: NsKey, path: str) -> NamespaceInfo:
        """Use the namespace at a path for a key."""
        path = self.names.get(path, path)
        if path in self.denied:
            raise PermissionError(EACCES, os.strerror(EACCES), path)
        if path in self.files:
            raise ValueError(f"{path} is not a network namespace")
        if path not in self._paths:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
        space = self._paths[path]
        before = self._bound.pop(key, None)
        self._bound[key] = (NamespaceInfo(space.cookie, path), space)
        if before is not None:
            self._release(before[1])
        return self._bound[key][0]

    def unbind(self, key: NsKey) -> None:
        """Let go of a namespace; one that has gone from every path ends with that."""
        _, space = self._bound.pop(key, (None, None))
        self._release(space)

    def release(self) -> None:
        """Let go of every namespace but the host's."""
        for key in [key for key in self._bound if key != HOST]:
            self.unbind(key)

    def is_the_machines(self, path: str) -> bool:
        """In memory there is no machine around the host."""
        return path == "/proc/1/ns/net"

    @property
    def boot_id(self) -> str:
        """Return what a test has set as the boot."""
        return self.boot

    @property
    def batch_limit(self) -> int:
        """Memory has no limit on open namespaces."""
        return 4096

    def bound(self, key: NsKey) -> NamespaceInfo | None:
        """Say what a key is bound to."""
        return self._bound[key][0] if key in self._bound else None

    def create_namespace(self, path: str) -> None:
        """Pin a new namespace."""
        self.faults.begin_file(f"create namespace {path}")
        if path in self._paths or path in self.files or path in self.names:
            raise FileExistsError(EEXIST, os.strerror(EEXIST), path)
        self._paths[path] = self._new_namespace()

    def delete_namespace(self, path: str) -> None:
        """Unpin a namespace, or take the empty file away that an interrupted pinning left."""
        self.faults.begin_file(f"delete namespace {path}")
        if path == self._netns:
            raise OSError(EBUSY, "the host's own namespace", path)
        self.files.discard(path)
        self.names.pop(path, None)
        self._release(self._paths.pop(path, None))

    def name_namespace(self, path: str, points_to: str) -> None:
        """Make a symbolic link to a namespace."""
        self.faults.begin_file(f"name namespace {path}")
        taken = path in self._paths or path in self.files
        if taken or self.names.get(path, points_to) != points_to:
            raise FileExistsError(EEXIST, os.strerror(EEXIST), path)
        self.names[path] = points_to

    def namespace_paths(self, folder: str) -> list[str]:
        """List what is pinned in a folder."""
        return sorted(path for path in self._paths if str(PurePosixPath(path).parent) == folder.rstrip("/"))

    def route(self, key: NsKey) -> FakeRoute:
        """Return the rtnetlink port."""
        return FakeRoute(key, self._space(key), self.faults, self._space)

    def nft(self, key: NsKey) -> FakeNft:
        """Return the nftables port."""
        return FakeNft(self._space(key).tables, self.faults)

    def sysctl(self, key: NsKey) -> FakeSysctl:
        """Return the sysctl port."""
        return FakeSysctl(self._space(key).sysctls, self.faults)

    def conntrack(self, key: NsKey) -> FakeConntrack:
        """Return the connection tracking port."""
        return FakeConntrack(self._space(key).flows, self.faults)

    def sockets(self, key: NsKey) -> FakeSockets:
        """Return the socket port."""
        return FakeSockets(self._space(key).listeners)

    def observe_foreign(self, key: NsKey) -> ForeignView:
        """Return the firewalls of others that a test declared."""
        return self._space(key).foreign

    def apply_foreign(self, key: NsKey, step: Step) -> None:
        """Open or close somebody else's chain."""
        space = self._space(key)
        if isinstance(step, Change) or not isinstance(step.object, ForeignAccept):
            raise TypeError(f"{step} is not for other firewalls")
        self.faults.begin(f"{type(step).__name__.lower()} accept in {step.object.chain}")
        others = tuple(accept for accept in space.foreign.accepts if accept != step.object)
        coming = (step.object,) if isinstance(step, Add) else ()
        space.foreign = replace(space.foreign, accepts=others + coming)

    def run(self, key: NsKey, argv: Sequence[str], stdin: str = "") -> tuple[int, str]:
        """Answer from the scripted table."""
        self._space(key)
        command = tuple(argv)
        try:
            self.faults.begin(f"run {' '.join(command)}")
        except KernelError as error:
            return 1, str(error)
        self.ran.append((key, command, stdin))
        missing = (TOOL_MISSING, f"{command[0]}: command not found")
        return self.tools.get(command) or self.tools.get(command[:1]) or missing

    def write_hosts(self, where: str, lines: Sequence[str]) -> None:
        """Keep our block of a hosts file."""
        self.faults.begin_file(f"write hosts of {where}")
        if lines:
            self.hosts[where] = tuple(lines)
        else:
            self.hosts.pop(where, None)

    def close(self) -> None:
        """Let go of every namespace."""
        for key in list(self._bound):
            self.unbind(key)

    # -- inside --------------------------------------------------------------------------------------------

    def _new_namespace(self) -> FakeNamespace:
        self._cookies += 1
        return FakeNamespace(self._cookies)

    def _space(self, key: NsKey) -> FakeNamespace:
        if key not in self._bound:
            raise KeyError(f"no namespace is bound to {key}")
        return self._bound[key][1]

    def _release(self, space: FakeNamespace | None) -> None:
        held = space in self._paths.values() or any(space is bound for _, bound in self._bound.values())
        if space is not None and not held:
            space.destroy()
