"""One file per network driver: its options as a dataclass, its checks, and pure plans.

A driver says which kernel objects a network and an endpoint consist of. It does not allocate addresses,
touch the kernel or know the store; it does not check what concerns more than one network.
"""
