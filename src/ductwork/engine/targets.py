"""From what a person types to an open namespace: TARGET grammar, identity, and who is still alive.

A namespace is recognised by its cookie. Paths and pids are reused within seconds, inode numbers too; a
container that restarted has the same name and another namespace.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import uuid4

from ductwork.engine.planner import namespace_key
from ductwork.engine.state import State
from ductwork.errors import Denied, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.ports import Kernel, NamespaceInfo
from ductwork.model.host import IP_NETNS_DIR, Host
from ductwork.model.names import parse_name
from ductwork.model.objects import HOST, NsKey
from ductwork.model.sandbox import Mode, Sandbox

ENGINES = ("docker", "podman", "lxc")
KINDS = ("netns", "pid", *ENGINES)
_PID_DIGITS = 18
GRAMMAR = "a sandbox's name, netns:NAME, pid:N, docker:NAME, podman:NAME, lxc:NAME or a path"


class Life(Enum):
    """Whether a sandbox's namespace is still there."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target's namespace is right now, and its hosts file ("" when it has none of its own)."""

    path: str
    hosts: str
    pidfd: int = -1


class Binder:
    """Opens the namespaces of sandboxes on demand and checks that each is still the one it was."""

    def __init__(
        self, host: Host, kernel: Kernel, engines: ContainerEngines, places: dict[NsKey, str]
    ) -> None:
        self.host = host
        self.kernel = kernel
        self.engines = engines
        self.places = places

    def bind(self, key: NsKey, states: Sequence[State]) -> bool:
        """Make a sandbox's namespace usable under its key; say whether it is still there."""
        if key == HOST or self.kernel.bound(key) is not None:
            return True
        identity = key.partition("/")[2]
        sandbox = next((s for s in (state.sandbox_or_none(identity) for state in states) if s), None)
        if sandbox is None:
            return False
        if sandbox.target.startswith("/"):
            self.expect(key, sandbox.target)
        return self.alive(sandbox, key)

    def expect(self, key: NsKey, path: str) -> None:
        """Know the hosts file of a namespace that is about to be made, or may be gone."""
        if hosts := self.place(path).hosts:
            self.places[key] = hosts

    def let_go(self) -> None:
        """Close all namespaces: one that is kept open outlives its container and hides that it died."""
        self.kernel.release()
        self.places.clear()

    def alive(self, sandbox: Sandbox, key: NsKey) -> bool:
        """Open a sandbox's namespace; say whether it is the one that is on record."""
        return self.look(sandbox, key) is Life.ALIVE

    def look(self, sandbox: Sandbox, key: NsKey) -> Life:
        """Open a sandbox's namespace; an engine that does not answer proves nothing about its containers."""
        try:
            info = self.open(sandbox.target, key)
        except (NotFound, FailedPrecondition):
            return Life.DEAD
        except InvalidArgument as error:
            # A path on record that is no namespace is a pin that lost its mount, by umount, reboot or a kill.
            # What else is invalid is the way to an engine.
            return Life.DEAD if error.subject == "namespace" else Life.UNKNOWN
        except (Unavailable, Denied):
            return Life.UNKNOWN
        # At our own path there can only be what we made, or what somebody put there since: ours to use.
        if sandbox.mode is Mode.FOREIGN and sandbox.cookie and info.cookie != sandbox.cookie:
            self.kernel.unbind(key)
            return Life.DEAD
        return Life.ALIVE

    def open(self, target: str, key: NsKey) -> NamespaceInfo:
        """Open a target's namespace under a key.

        Raises:
            NotFound, FailedPrecondition: there is no such thing, or it does not run.
        """
        place = self.place(target)
        try:
            info = self._bind(place.path, key, target)
            if place.pidfd >= 0 and _exited(place.pidfd):
                self.kernel.unbind(key)
                raise NotFound(f"{target} ended while its namespace was being opened", hint="start it again")
        finally:
            self.release(place)
        if place.hosts:
            self.places[key] = place.hosts
        return info

    def release(self, place: Place) -> None:
        """Let go of a place's process."""
        if place.pidfd >= 0:
            os.close(place.pidfd)

    def _bind(self, path: str, key: NsKey, target: str) -> NamespaceInfo:
        try:
            return self.kernel.bind(key, path)
        except FileNotFoundError:
            raise NotFound(
                f"{target}: there is no network namespace at {path}", hint=f"TARGET is {GRAMMAR}"
            ) from None
        except PermissionError:
            raise Denied(f"{target}: no permission to open {path}", hint="run as root") from None
        except ValueError:
            raise InvalidArgument(
                f"{target}: {path} is not a network namespace",
                hint=f"TARGET is {GRAMMAR}",
                subject="namespace",
            ) from None
        except OSError as error:
            raise NotFound(
                f"{target}: cannot open {path}: {error.strerror}", hint="is it still running?"
            ) from None

    def place(self, target: str) -> Place:
        """Find a target's namespace."""
        kind, _, name = target.partition(":")
        if kind == "pid":
            return self._process(int(name), target)
        if kind in ENGINES:
            return self._process(self.engines.find(kind, name).pid, target)
        path = Path(target)
        if path.parent in {self.host.netns_dir, IP_NETNS_DIR}:
            return Place(target, f"file:{self.host.etc_dir / path.name / 'hosts'}")
        return Place(target, "")

    def _process(self, pid: int, target: str) -> Place:
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, OverflowError):  # no such process, or a number that can be none
            raise NotFound(f"{target}: there is no process {pid}", hint="is it still running?") from None
        same_files = _same_files(pid)
        return Place(f"/proc/{pid}/ns/net", "" if same_files else f"pid:{pid}", pidfd)


def _exited(pidfd: int) -> bool:
    """Say whether a process is gone: its pidfd becomes readable, pidfd_open(2)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _same_files(pid: int) -> bool:
    """Say whether a process sees our own /etc/hosts: a plain process, whose file is not ours to write."""
    try:
        theirs, ours = Path(f"/proc/{pid}/root/etc/hosts").stat(), Path("/etc/hosts").stat()
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


class Targets:
    """Reads TARGET words against what exists.

    Attributes:
        expected: namespaces that the change under way is going to make.
        dead: sandboxes that were found dead while somebody else has come by their name.
    """

    def __init__(self, host: Host, binder: Binder, engines: ContainerEngines) -> None:
        self.host = host
        self.binder = binder
        self.engines = engines
        self.expected: set[NsKey] = set()
        self.dead: list[str] = []

    def expect(self, state: State, sandbox: Sandbox) -> None:
        """Take a sandbox for alive that the change under way is going to make."""
        self.expected.add(namespace_key(state, sandbox))

    def known(self, state: State, text: str) -> Sandbox:
        """Find a target that Ductwork already knows, for disconnecting and the like.

        Raises:
            NotFound: it has no endpoints and is no sandbox of ours.
        """
        for name in self._spellings(text):
            sandbox = state.find_sandbox(name)
            if sandbox is not None:
                return sandbox
        candidates = [s for s in state.sandboxes() if s.hostname == text]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise _ambiguous(text, [s.name for s in candidates])
        known = ", ".join(s.name for s in state.sandboxes()[:10]) or "none yet"
        raise NotFound(
            f"target {text!r} is not known here", hint=f"known: {known}", subject="sandbox", name=text
        )

    def resolve(self, state: State, text: str) -> Sandbox:
        """Find any target; one that is seen for the first time becomes a sandbox record in this state.

        Raises:
            NotFound, FailedPrecondition, InvalidArgument: with what TARGET may be.
        """
        known = self._known_or_none(state, text)
        if known is not None:
            if known.mode is not Mode.HOST:
                self.require_alive(state, known)
            return known
        name = self._name(text)
        key = NsKey(f"sandbox/{uuid4()}")
        info = self.binder.open(_target_of(name, self.host), key)
        host = self.binder.kernel.bound(HOST)
        if host is not None and info.cookie == host.cookie:
            self.binder.kernel.unbind(key)
            raise FailedPrecondition(
                f"{text} uses the host's own network (unisolated); there is nothing to connect",
                hint="start it with a network stack of its own",
            )
        if self.binder.kernel.is_the_machines(info.path):
            self.binder.kernel.unbind(key)
            raise FailedPrecondition(
                f"{text} is in the machine's own network, which is no container's",
                hint="name a process or a path that has a network stack of its own",
            )
        same = state.sandbox_by_cookie(info.cookie)
        if same is not None:
            self.binder.kernel.unbind(key)
            self.require_alive(state, same)
            return same
        sandbox = Sandbox(key.partition("/")[2], name, Mode.FOREIGN, _target_of(name, self.host), info.cookie)
        state.put_sandbox(sandbox)
        return sandbox

    def require_alive(self, state: State, sandbox: Sandbox) -> None:
        """Open a known sandbox's namespace.

        Raises:
            FailedPrecondition: it is gone.
        """
        key = namespace_key(state, sandbox)
        if key not in self.expected and not self.binder.bind(key, [state]):
            raise FailedPrecondition(
                f"sandbox {sandbox.name} is gone: its network namespace does not exist any more",
                hint="start it again, or remove what is left with: duct sandbox rm " + sandbox.name,
            )

    def _known_or_none(self, state: State, text: str) -> Sandbox | None:
        for name in self._spellings(text):
            sandbox = state.find_sandbox(name)
            if sandbox is None:
                continue
            if sandbox.mode is Mode.FOREIGN and not self.binder.bind(namespace_key(state, sandbox), [state]):
                self.dead.append(sandbox.id)
                continue
            self._refuse_ambiguous(text, sandbox)
            return sandbox
        return None

    def _refuse_ambiguous(self, text: str, sandbox: Sandbox) -> None:
        if ":" in text or "/" in text:
            return
        fits = [f"{kind}:{text}" for kind in ENGINES if self.engines.exists(kind, text)]
        others = [name for name in fits if name != sandbox.name]
        if others:
            raise _ambiguous(text, [sandbox.name, *others])

    def _spellings(self, text: str) -> list[str]:
        if text.startswith(("/", "./")):
            path = Path(text).absolute()
            return [path.name, f"netns:{path.name}", str(path)] if self._is_named(path) else [str(path)]
        if text.startswith("netns:"):
            return [text.partition(":")[2], text]
        return [text]

    def _is_named(self, path: Path) -> bool:
        return path.parent in {self.host.netns_dir, IP_NETNS_DIR}

    def _name(self, text: str) -> str:
        """Give a target its canonical name: KIND:NAME, or an absolute path."""
        if text.startswith(("/", "./")):
            path = Path(text).absolute()
            return f"netns:{path.name}" if self._is_named(path) else str(path)
        kind, colon, name = text.partition(":")
        if colon:
            return self._explicit(text, kind, name)
        parse_name(text, "target")
        fits = [f"netns:{text}"] if self._netns_path(text) else []
        fits += [f"{engine}:{text}" for engine in ENGINES if self.engines.exists(engine, text)]
        if len(fits) > 1:
            raise _ambiguous(text, fits)
        if not fits:
            raise NotFound(
                f"target {text!r} was not found: no sandbox, no `ip netns`, no container of that name",
                hint=f"TARGET is {GRAMMAR}",
                subject="target",
                name=text,
            )
        return fits[0]

    def _explicit(self, text: str, kind: str, name: str) -> str:
        if kind not in KINDS:
            raise InvalidArgument(f"target {text!r}: kind {kind!r} is not known", hint=f"TARGET is {GRAMMAR}")
        if kind == "pid":
            if not (name.isascii() and name.isdecimal() and len(name) <= _PID_DIGITS):
                raise InvalidArgument(f"target {text!r}: a pid is a number", hint="write it like pid:4711")
        elif not name or "/" in name:
            raise InvalidArgument(f"target {text!r}: {name!r} is not a name", hint=f"TARGET is {GRAMMAR}")
        return text

    def _netns_path(self, name: str) -> str:
        return next((str(d / name) for d in (self.host.netns_dir, IP_NETNS_DIR) if (d / name).exists()), "")


def _target_of(name: str, host: Host) -> str:
    """Return what is kept of a target: a path for named namespaces, otherwise the name itself."""
    if not name.startswith("netns:"):
        return name
    bare = name.partition(":")[2]
    ours = host.netns_dir / bare
    return str(ours if ours.exists() else IP_NETNS_DIR / bare)


def _ambiguous(text: str, fits: Sequence[str]) -> InvalidArgument:
    return InvalidArgument(
        f"target {text!r} fits more than one: {', '.join(fits)}", hint="say which, with its kind"
    )
