"""Running commands with a time limit and a clean environment; waiting without fixed sleeps."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Result = subprocess.CompletedProcess[str]

# A developer's own settings must not decide what a test sees.
_FOREIGN_PREFIXES = ("DUCTWORK_", "DOCKER_", "CONTAINER_", "CONTAINERS_", "CNI_", "PYTHON")


class LabError(Exception):
    """The lab could not do what a test asked; the text shows the command and all it printed."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give what every lab command runs in: English, system tools in PATH, no settings of the caller."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN_PREFIXES)}
    path = f"{kept.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "PATH": path.lstrip(":"), "LC_ALL": "C", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 20,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Result:
    """Run a command to its end and return what it printed.

    Raises:
        LabError: it ran longer than `timeout` seconds, or failed while `check` is set.
    """
    try:
        result = subprocess.run(
            argv,
            env=clean_environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = f"{_text(error.stdout)}{_text(error.stderr)}"
        raise LabError(f"{shlex.join(argv)}: still running after {timeout} s\n{printed}") from None
    if check and result.returncode != 0:
        raise LabError(
            f"{shlex.join(argv)}: exit code {result.returncode}\n{result.stdout}{result.stderr}".rstrip()
        )
    return result


def _text(printed: bytes | str | None) -> str:
    # subprocess hands out bytes with TimeoutExpired even in text mode.
    return printed.decode(errors="replace") if isinstance(printed, bytes) else printed or ""


def wait_until(
    condition: Callable[[], object], what: str, *, timeout: float = 10, every: float = 0.02
) -> None:
    """Look again and again until `condition` holds.

    Raises:
        LabError: it did not hold within `timeout` seconds; `what` says what was awaited.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout} s in vain: {what}")
        time.sleep(every)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and is not buried yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def end_process(process: subprocess.Popen[str], *, grace: float = 3) -> None:
    """End a process we started, politely and then firmly, and close its pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(grace)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
