"""Measurements of Ductwork beside its peers and beside the least work the kernel allows.

Every benchmark builds its own hosts, clients and containers as network namespaces and takes them away again;
the machine's own namespace is never changed and no packet leaves the namespaces. What is *not* judged here is
correctness: an attachment is proved by one TCP connection, so that the figure is of something that works.
"""
