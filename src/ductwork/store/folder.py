"""The folder that state lives in: nobody but its owner may look inside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ductwork.errors import Denied, DuctworkError, Exhausted, FailedPrecondition

_AS_ROOT = "run as root, or choose another state folder with --host"


def private_folder(folder: Path) -> None:
    """Make a folder with mode 0700; one that exists keeps the mode somebody gave it.

    Raises:
        Denied, Exhausted, FailedPrecondition: it cannot be made, or cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(error, folder) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Denied(f"opening state folder {folder}: it cannot be written to", hint=_AS_ROOT)


def folder_error(error: OSError, path: Path) -> DuctworkError:
    """Say what an OSError about a state file or folder means for the caller."""
    message = f"opening {path}: {error.strerror}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Denied(message, hint=_AS_ROOT)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Exhausted(message, hint="free some disk space")
    return FailedPrecondition(message, hint="choose another state folder with --host")
