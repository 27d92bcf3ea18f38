"""Names, indexes and MACs that follow from identities alone, so that a rebuild gives the same again."""

from __future__ import annotations

from hashlib import blake2b

from ductwork.model.names import Mac
from ductwork.model.objects import ALIAS_PREFIX

# Far above what the kernel hands out by itself (it counts up from 1), so that a create with a chosen index
# does not collide; three ranges so that an index tells what it is.
_BRIDGE_INDEX = 10_000_000
_OUTER_INDEX = 20_000_000
_INNER_INDEX = 30_000_000
SLOTS = 9_000_000


def _digest(*parts: str, size: int) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=size).hexdigest()


def bridge_ifname(network_id: str) -> str:
    """Name a network's bridge: 13 bytes, from the id because a network can be renamed."""
    return f"dw-{_digest('bridge', network_id, size=5)}"


def host_ifname(endpoint_id: str) -> str:
    """Name the outer end of an endpoint's veth pair: 13 bytes."""
    return f"dv-{_digest('veth', endpoint_id, size=5)}"


def bridge_mac(network_id: str) -> Mac:
    """Give a bridge its own locally administered MAC; without one it takes its lowest port's and changes."""
    return _mac("bridge", network_id)


def endpoint_mac(host_id: str, network_name: str, sandbox_name: str) -> Mac:
    """Give an endpoint the same MAC whenever the same sandbox joins the same network of the same host."""
    return _mac("endpoint", host_id, network_name, sandbox_name)


def _mac(*parts: str) -> Mac:
    digest = _digest(*parts, size=5)
    return Mac("02:" + ":".join(digest[i : i + 2] for i in range(0, 10, 2)))


def bridge_ifindex(slot: int) -> int:
    """Derive a bridge's interface index from its network's slot."""
    return _BRIDGE_INDEX + slot


def outer_ifindex(slot: int) -> int:
    """Derive the index of a veth pair's outer end from its endpoint's slot."""
    return _OUTER_INDEX + slot


def inner_ifindex(slot: int) -> int:
    """Derive the index of a veth pair's inner end from its endpoint's slot."""
    return _INNER_INDEX + slot


def network_alias(network_id: str) -> str:
    """Mark a link as a network's."""
    return f"{ALIAS_PREFIX}network:{network_id}"


def endpoint_alias(endpoint_id: str) -> str:
    """Mark a link as an endpoint's."""
    return f"{ALIAS_PREFIX}endpoint:{endpoint_id}"


def free_ifname(taken: set[str], prefix: str = "eth") -> str:
    """Choose the lowest free interface name of a sandbox, so that the order of connecting decides."""
    number = 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"
