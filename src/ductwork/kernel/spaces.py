"""Which namespaces of a host are open, and the sockets in each.

Only some are open at a time: a change may touch thousands, and each open one costs descriptors and keeps a
dead container's namespace from going. A closed one is opened again by its path, and refused when another
namespace has taken that path meanwhile.
"""

from __future__ import annotations

import resource
from collections import OrderedDict
from functools import cache
from hashlib import blake2b
from pathlib import Path

from ductwork.kernel.conntrack import ConntrackSocket
from ductwork.kernel.netlink.route import RouteSocket
from ductwork.kernel.netns import BoundNamespace, Opener
from ductwork.kernel.nft import NftSocket
from ductwork.kernel.ports import NamespaceInfo
from ductwork.model.objects import HOST, NsKey

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Space:
    """One open namespace and the sockets that have been opened in it."""

    def __init__(self, key: NsKey, bound: BoundNamespace, spaces: Spaces) -> None:
        self.bound = bound
        self.route = RouteSocket(bound, spaces.bound_namespace)
        self._key = key
        self._nft: NftSocket | None = None
        self._conntrack: ConntrackSocket | None = None

    def nft(self) -> NftSocket:
        """Return nftables in it."""
        if self._nft is None:
            self._nft = NftSocket(self._key, self.bound.enter)
        return self._nft

    def conntrack(self) -> ConntrackSocket:
        """Return connection tracking in it."""
        if self._conntrack is None:
            self._conntrack = ConntrackSocket(self.bound.enter)
        return self._conntrack

    def close(self) -> None:
        """Close the namespace and every socket in it."""
        for socket in (self._nft, self._conntrack):
            if socket is not None:
                socket.close()
        self.bound.close()


class Spaces:
    """The namespaces of a host by key, the host's own always open, of the others the most recently used.

    Attributes:
        limit: how many others may be open; a batch of half as many has all of them open at once.
    """

    def __init__(self) -> None:
        self._opener = Opener()
        self._known: dict[NsKey, NamespaceInfo] = {}
        self._open: OrderedDict[NsKey, Space] = OrderedDict()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Two descriptors each: most of those below 1024 stay free for libnftables, which uses select(2).
        self.limit = max(16, min(256, descriptors // 4))

    def bind(self, key: NsKey, path: str) -> NamespaceInfo:
        """Open the namespace at a path and know it by a key."""
        bound = BoundNamespace.open(path, self._opener)
        self.unbind(key)
        info = NamespaceInfo(_over_boots(bound.cookie), path)
        self._known[key] = info
        self._keep(key, Space(key, bound, self))
        return info

    def unbind(self, key: NsKey) -> None:
        """Close a namespace and forget its key."""
        self._known.pop(key, None)
        space = self._open.pop(key, None)
        if space is not None:
            space.close()

    def release(self) -> None:
        """Forget every namespace but the host's."""
        for key in [key for key in self._known if key != HOST]:
            self.unbind(key)

    def info(self, key: NsKey) -> NamespaceInfo | None:
        """Return what a key stands for."""
        return self._known.get(key)

    def __getitem__(self, key: NsKey) -> Space:
        space = self._open.get(key)
        if space is not None:
            self._open.move_to_end(key)
            return space
        info = self._known[key]
        bound = BoundNamespace.open(info.path, self._opener)
        if _over_boots(bound.cookie) != info.cookie:
            bound.close()
            raise FileNotFoundError(2, "another namespace has taken its place", info.path)
        return self._keep(key, Space(key, bound, self))

    def bound_namespace(self, key: NsKey) -> BoundNamespace:
        """Return the open namespace of a key: the other end of a veth pair."""
        return self[key].bound

    def close(self) -> None:
        """Close everything and end the opener's thread."""
        for key in list(self._known):
            self.unbind(key)
        self._opener.close()

    def _keep(self, key: NsKey, space: Space) -> Space:
        self._open[key] = space
        while len(self._open) > self.limit:
            oldest = next(k for k in self._open if k != HOST)
            self._open.pop(oldest).close()
        return space


def _over_boots(cookie: int) -> int:
    """Make a cookie that no later boot gives again: the kernel begins to count anew each time."""
    return _boot_bits() << 32 ^ cookie


def boot_id() -> str:
    """Return the kernel's name for this boot, random(4)."""
    return _BOOT_ID.read_text().strip()


@cache
def _boot_bits() -> int:
    """Return 30 bits that stand for this boot, so that the whole stays below 2 to the power of 62."""
    digest = blake2b(boot_id().encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 2
