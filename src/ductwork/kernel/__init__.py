"""The only code that touches the system: netlink, namespaces, nft, sysctl, conntrack, files.

`ports.py` says what an adapter must do; `linux.py` is the real one, `fake.py` a whole host in memory.
Adapters do what they are told and report each failure; they do not decide, and do not know what a network is.
"""
