"""The bits of the packet mark that are Ductwork's; all others are left as they are.

They lie outside what Kubernetes (0x4000, 0x8000), Docker's Swarm (0x10000 upwards by network) and the common
routing set-ups (the low byte) use. The other bits of the field are reserved for policies and tunnels.
"""

from __future__ import annotations

FIELD = 0x0D00_0000

# Set by our rules on the answer to a connection the host made to 127.0.0.1, so that the filter which drops
# everything else to 127.0.0.0/8 lets it pass. With bridge-nf on, that filter sees the answer translated.
LOOPBACK_ANSWER = 0x0100_0000
