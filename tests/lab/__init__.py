"""Throwaway hosts for tests: each is a network namespace of its own on a small network made for one test.

    Lab (one random prefix)
      underlay: a namespace with one bridge, 192.0.2.0/24 and 2001:db8::/64
        |- h1        192.0.2.1    2001:db8::1      LabHost: namespace + state folder
        |- h2        192.0.2.2    2001:db8::2
        `- outside   192.0.2.254  2001:db8::254    all hosts' default gateway; owns 198.51.100.1

The machine that runs the tests is never one of the hosts, and nothing here touches its own network namespace.
This package knows nothing of Ductwork's code: it starts `duct` as a user would, and judges with the system's
own tools.
"""

from tests.lab.commands import LabError, Result, wait_until
from tests.lab.docker import DockerEngine, docker_engine
from tests.lab.host import LabHost
from tests.lab.namespace import Namespace
from tests.lab.peers import (
    HeldConnection,
    Server,
    curl,
    fetch,
    http_server,
    ping,
    tcp_connect,
    tcp_hold,
    udp_ask,
    udp_echo,
    wait_listening,
)
from tests.lab.podman import PodmanEngine, podman_engine
from tests.lab.snapshot import Snapshot, diff_snapshots
from tests.lab.topology import Lab

__all__ = [
    "DockerEngine",
    "HeldConnection",
    "Lab",
    "LabError",
    "LabHost",
    "Namespace",
    "PodmanEngine",
    "Result",
    "Server",
    "Snapshot",
    "curl",
    "diff_snapshots",
    "docker_engine",
    "fetch",
    "http_server",
    "ping",
    "podman_engine",
    "tcp_connect",
    "tcp_hold",
    "udp_ask",
    "udp_echo",
    "wait_listening",
    "wait_until",
]
