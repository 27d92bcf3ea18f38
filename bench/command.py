"""The one place where a benchmark runs another program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"}
_PLACES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/podman", "/usr/libexec/podman")


class CommandError(Exception):
    """A program said no; the text holds what was run and what it answered."""


def find_program(name: str) -> str | None:
    """Find the distribution's copy of a program first: a peer is measured as the distribution ships it."""
    return shutil.which(name, path=os.pathsep.join(_PLACES)) or shutil.which(name)


def run(
    argv: Sequence[str | Path],
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> str:
    """Run a program to its end in the caller's namespace and return its output.

    Args:
        env: replaces the small default environment.
    Raises:
        CommandError: the exit code was not 0, or the time was up.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=_ENVIRONMENT if env is None else env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(map(str, argv))}: not done in {timeout_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise CommandError(f"{' '.join(map(str, argv))}: exit code {done.returncode}: {said}")
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    """The small default environment and a few more variables."""
    return {**_ENVIRONMENT, **more}


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str], grace_s: float = 15.0) -> None:
    """End a child we started: politely, then for sure."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=grace_s)
