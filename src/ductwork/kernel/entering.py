"""Becoming a process inside a sandbox, as `ip netns exec` does it."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ductwork.errors import Denied, NotFound

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000


def exec_in_namespace(netns: str, files: Path | None, argv: Sequence[str]) -> NoReturn:
    """Replace this process by a command in a network namespace.

    Args:
        netns: path of the namespace; empty stays in this one.
        files: a folder whose files stand in for those of the same name in /etc, in a mount namespace of
            the command's own; ip-netns(8). /sys is left alone, so that cgroups stay visible.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if netns:
        with Path(netns).open("rb") as space:
            _check(libc.setns(space.fileno(), _CLONE_NEWNET), f"entering {netns}")
    if files is not None and files.is_dir():
        _check(libc.unshare(_CLONE_NEWNS), "making a mount namespace")
        _check(libc.mount(b"", b"/", b"none", _MS_SLAVE | _MS_REC, None), "keeping mounts to ourselves")
        for file in sorted(files.iterdir()):
            target = Path("/etc") / file.name
            if target.exists():
                _check(
                    libc.mount(str(file).encode(), str(target).encode(), b"none", _MS_BIND, None),
                    f"mounting {file} over {target}",
                )
    if shutil.which(argv[0]) is None:
        raise NotFound(f"command {argv[0]!r} was not found", hint="give the command after --")
    sys.stdout.flush()
    # Python ignores these for itself, and what is ignored stays so over exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(argv[0], list(argv))


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise Denied(f"{doing}: {os.strerror(number)}", hint="run it as root")
