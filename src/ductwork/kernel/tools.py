"""The one runner for tools that are themselves an interface (iptables, ovs-vsctl, birdc)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from ductwork.errors import Denied, FailedPrecondition, Unavailable
from ductwork.kernel.enter import Enter, stay

TIMEOUT_S = 30.0
_GRACE_S = 1.0

# Debian's names, which most distributions share.
PACKAGES = {
    "birdc": "bird2",
    "bridge": "iproute2",
    "conntrack": "conntrack",
    "ebtables": "ebtables",
    "firewall-cmd": "firewalld",
    "ip": "iproute2",
    "nft": "nftables",
    "ovs-ofctl": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "tc": "iproute2",
    "ufw": "ufw",
    "vtysh": "frr",
    "wg": "wireguard-tools",
    **{
        f"{family}{backend}{action}": "iptables"
        for family in ("iptables", "ip6tables")
        for backend in ("", "-nft", "-legacy")
        for action in ("", "-save", "-restore")
    },
}
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


def run_tool(
    argv: Sequence[str], *, enter: Enter = stay, stdin: str = "", timeout_s: float = TIMEOUT_S
) -> tuple[int, str]:
    """Run a tool in a namespace and return its exit code and its output, both streams as they came.

    Only the start happens inside `enter`: the child inherits the namespace of the thread that forks it, and
    the thread is free again while the tool runs.

    Raises:
        FailedPrecondition: the tool is not installed; names the package.
        Denied: it may not be run.
        Unavailable: it did not end in time and was stopped, together with what it had started.
    """
    process = _start(argv, enter)
    try:
        output, _ = process.communicate(stdin.encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        output = _stop(process)
        raise Unavailable(
            f"running {' '.join(argv)}: it did not end within {timeout_s:g} s{_said(output)}",
            hint="try again",
        ) from None
    except BaseException:
        _stop(process)
        raise
    return process.returncode, output.decode(errors="replace")


def _start(argv: Sequence[str], enter: Enter) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LC_ALL": "C", "PATH": _search_path()}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    tool = argv[0].rpartition("/")[2]
    try:
        return enter(start)
    except FileNotFoundError:
        package = PACKAGES.get(tool, tool)
        raise FailedPrecondition(
            f"running {tool}: it is not installed", hint=f"install the package {package}"
        ) from None
    except PermissionError as error:
        raise Denied(f"running {argv[0]}: {error.strerror}", hint="run as root") from error


def _search_path() -> str:
    """Add the system's folders to PATH: many users' lack /usr/sbin, where most of these tools are."""
    own = [folder for folder in os.environ.get("PATH", "").split(":") if folder]
    return ":".join([*own, *(folder for folder in _SYSTEM_FOLDERS if folder not in own)])


def _stop(process: subprocess.Popen[bytes]) -> bytes:
    """Kill the tool and its children, which form a session of their own, and return what it had said."""
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.killpg(process.pid, signal.SIGKILL)
    try:
        output, _ = process.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:  # a child that left the session still holds the pipe
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nobody can end it
            process.wait(timeout=_GRACE_S)
        return b""
    return output or b""


def _said(output: bytes) -> str:
    text = output.decode(errors="replace").strip()
    return f"; it said: {text}" if text else ""
