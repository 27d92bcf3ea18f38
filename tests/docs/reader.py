"""A reader who tries a page's examples on a fresh host, as root, with Ductwork's default places."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.docs.blocks import CONSOLE, PYTHON, ROOT, TEXT, Block, Page, fits, steps
from tests.lab import DockerEngine, Lab, PodmanEngine, docker_engine, podman_engine
from tests.lab.commands import clean_environment
from tests.lab.containers import IMAGE, MountHolder

# Ductwork's and ip's own places; on the reader's host each is a folder of the test's.
_PLACES = ("/var/lib/ductwork", "/run/ductwork", "/run/netns", "/etc/netns")
_COMMAND_TIMEOUT_S = 30
_TOKEN = "DUCTWORK_DOCS_READER"  # marks every process that an example starts


class Reader:
    """Runs a page's blocks in order; `close` ends what the examples left running."""

    def __init__(self, lab: Lab, page: Page) -> None:
        self.page = page
        self._cleanup = contextlib.ExitStack()
        self._host = lab.host("h1")
        self._outside = lab.outside()
        self._token = secrets.token_hex(8)
        self._bin = lab.folder("bin")
        self._work = lab.folder("work")
        if (ROOT / "examples").is_dir():
            (self._work / "examples").symlink_to(ROOT / "examples")
        self._machine = Path("/proc/self/ns/net").readlink()
        self._engine_env: dict[str, str] = {}
        self._python_printed: str | None = None
        try:
            self._start_engines()
            self._holder = self._make_places(lab.folder("places"))
        except BaseException:
            self._cleanup.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the examples' processes, their engines and their places."""
        for pid in self._left_running():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)
        self._cleanup.close()

    def read(self, block: Block) -> None:
        """Do what one block says.

        Raises:
            AssertionError: it failed, or printed something else.
        """
        python_printed, self._python_printed = self._python_printed, None
        if block.file:
            path = self._work / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in block.lines), encoding="utf-8")
        elif block.info == PYTHON:
            code, printed = self._run([sys.executable, "-c", "\n".join(block.lines)], "")
            assert code == 0, f"{self.page.name}:{block.number}: the example failed:\n{printed}"
            self._python_printed = printed
        elif block.info == TEXT and python_printed is not None:
            assert fits(block.lines, python_printed), (
                f"{self.page.name}:{block.number}: the example printed:\n{python_printed}"
            )
        elif block.info == CONSOLE:
            for step in steps(block):
                code, printed = self._run(["bash", "-c", step.command], step.where)
                place = f"{self.page.name}:{step.number}: {step.command}"
                told = any(line.startswith("duct: ") for line in step.shown)
                assert code == 0 or told, f"{place}\nended with exit code {code}:\n{printed}"
                assert not step.shown or fits(step.shown, printed), (
                    f"{place}\nthe page shows:\n{chr(10).join(step.shown)}\nit printed:\n{printed}"
                )

    def _run(self, argv: list[str], where: str) -> tuple[int, str]:
        inside = self._outside.command if where == "outside" else self._holder.command
        # Whatever goes wrong with the lab, no example may meet the machine's own network.
        guard = f'[ "$(readlink /proc/self/ns/net)" != "{self._machine}" ] || exit 99'
        start = f'{guard}; cd {self._work} && exec "$@"'  # nsenter --mount begins in /
        path = f"{self._bin}:{Path(sys.executable).parent}:{clean_environment()['PATH']}"
        environment = clean_environment(
            {**self._engine_env, "PATH": path, _TOKEN: self._token, "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
        )
        # A file and not a pipe: a server that an example leaves behind would hold a pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                inside("sh", "-c", start, "sh", *argv),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_COMMAND_TIMEOUT_S,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read().decode(errors="replace")

    def _start_engines(self) -> None:
        if "docker" in self.page.needs:
            docker: DockerEngine = self._cleanup.enter_context(docker_engine(self._host))
            docker.docker("tag", IMAGE, "busybox:latest")
            self._engine_env |= docker.env
        if "podman" in self.page.needs:
            podman: PodmanEngine = self._cleanup.enter_context(podman_engine(self._host))
            podman.podman("tag", f"localhost/{IMAGE}", "docker.io/library/busybox:latest")
            self._engine_env |= podman.env
            wrapper = self._bin / "podman"
            program = shutil.which("podman") or "podman"
            command = shlex.join(podman._holder.command(program))  # its mounts are its own
            wrapper.write_text(f'#!/bin/sh\nunset DOCKER_CONFIG\nexec {command} "$@"\n')
            wrapper.chmod(0o755)

    def _make_places(self, folder: Path) -> MountHolder:
        fresh = [Path(place) for place in _PLACES if not Path(place).exists()]
        replaced = {place: folder / place.strip("/").replace("/", "-") for place in _PLACES}
        holder = MountHolder(self._host, folder, replaced)
        self._cleanup.callback(_remove_empty, fresh)
        self._cleanup.callback(holder.close)
        return holder

    def _left_running(self) -> Iterator[int]:
        mark = f"{_TOKEN}={self._token}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it is gone
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield int(process.name)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # somebody else uses it by now
            folder.rmdir()
