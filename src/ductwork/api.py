"""Putting an engine together: the real kernel, the host's store and lock, the container engines."""

from __future__ import annotations

import os
from pathlib import Path

from ductwork.engine.engine import Engine
from ductwork.errors import Denied, InvalidArgument, NotFound
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.linux import LinuxKernel
from ductwork.model.host import Host
from ductwork.model.objects import HOST
from ductwork.store.lock import HostLock
from ductwork.store.sqlite import SqliteStore

LOCK_TIMEOUT_S = 30.0


def host_from_environment(netns: str = "", state_dir: str = "") -> Host:
    """Describe the host that the arguments, else DUCTWORK_NETNS and DUCTWORK_HOST, name."""
    folder = state_dir or os.environ.get("DUCTWORK_HOST", "")
    space = netns or os.environ.get("DUCTWORK_NETNS", "")
    if space and "/" not in space:
        space = f"/run/netns/{space}"
    name = Path(space).name if space else os.uname().nodename
    return Host.at(Path(folder) if folder else None, space, name)


def open_engine(host: Host | None = None, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Engine:
    """Open a host's engine; use it as a context manager.

    Args:
        host: the machine's default host when None.
    Raises:
        Denied: not root, or without the capabilities that changing networks needs.
        NotFound: the host's namespace does not exist.
    """
    host = host or host_from_environment()
    if os.geteuid() != 0:
        raise Denied("changing networks needs root", hint="run it with sudo, or in `unshare -Urnm` for a try")
    try:
        kernel = LinuxKernel(host.netns)
    except FileNotFoundError:
        raise NotFound(
            f"host namespace {host.netns} does not exist", hint="make it: ip netns add NAME"
        ) from None
    except ValueError:
        raise InvalidArgument(
            f"{host.netns} is not a network namespace", hint="give a path like /run/netns/NAME"
        ) from None
    except PermissionError:
        raise Denied(f"no permission to open namespace {host.netns}", hint="run it as root") from None
    store = SqliteStore(host.state_dir / "state.db")
    lock = HostLock(host.state_dir / "lock", lock_timeout_s)
    # LXC's tools find a container only from the host it belongs to.
    engines = ContainerEngines(run=lambda argv: kernel.run(HOST, argv))
    return Engine(host, kernel, store, lock, engines)
