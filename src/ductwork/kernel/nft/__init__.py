"""nftables: our table's elements by our own netlink codec, its constant rules through libnftables.

Adding an element is what every attach and every published port does, so it is one send and one receive and
its cost does not grow with what else is on the host; libnftables would first read every interval set there.
What an element means, and whether it should exist, is not checked here.
"""

from ductwork.kernel.nft.adapter import NftSocket

__all__ = ["NftSocket"]
