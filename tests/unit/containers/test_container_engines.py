"""Finding containers: what engines answer and fail to answer, against scripted engines."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from ductwork.errors import (
    Denied,
    DuctworkError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from ductwork.kernel.containers import Container, ContainerEngines, open_namespace_fd
from ductwork.kernel.unix_http import UnixHttp

ME = os.getpid()
ID = "0123456789abcdef" * 4


def inspect(name: str, pid: int = ME, status: str = "running", mode: str = "bridge") -> dict[str, Any]:
    state = {
        "Status": status,
        "Running": status in {"running", "paused"},
        "Paused": status == "paused",
        "Pid": pid,
    }
    config = {"NetworkMode": mode}
    return {"Id": ID, "Name": f"/{name}", "State": state, "HostConfig": config, "HostsPath": "/d/hosts"}


class FakeEngine(ThreadingUnixStreamServer):
    """Docker's API with a table of answers; bytes are sent as they are, without HTTP."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = {}
        super().__init__(str(path), _Handler)

    def engines(self) -> ContainerEngines:
        return ContainerEngines({"DOCKER_HOST": f"unix://{self.path}"}, run=no_tools)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeEngine

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        status, answer = self.server.answers.get(self.path, (404, {"message": "No such container"}))
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if status == 0:
            self.wfile.write(body)
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def no_tools(argv: Sequence[str]) -> tuple[int, str]:
    raise FileNotFoundError(argv[0])


@pytest.fixture
def folder() -> Iterator[Path]:
    # A unix socket's path may have 107 bytes: pytest's own folders are too deep for comfort.
    with tempfile.TemporaryDirectory(prefix="t") as path:
        yield Path(path)


@pytest.fixture
def engine(folder: Path) -> Iterator[FakeEngine]:
    with FakeEngine(folder / "s") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_running_container_is_found(engine: FakeEngine) -> None:
    engine.answers["/containers/web/json"] = (200, inspect("web"))
    assert engine.engines().find("docker", "web") == Container("docker", ID, "web", ME, "bridge", "/d/hosts")


def test_a_paused_container_counts_as_running(engine: FakeEngine) -> None:
    engine.answers["/containers/web/json"] = (200, inspect("web", status="paused"))
    assert engine.engines().find("docker", "web").pid == ME


def test_host_mode_is_told(engine: FakeEngine) -> None:
    engine.answers["/containers/web/json"] = (200, inspect("web", mode="host"))
    assert engine.engines().find("docker", "web").network_mode == "host"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            (404, {"message": "No such container: web"}),
            NotFound,
            "no docker container web; list them with: docker ps",
        ),
        (
            (200, inspect("web", pid=0, status="exited")),
            FailedPrecondition,
            "web is not running; start it with: docker start web",
        ),
        ((200, inspect("web", pid=0, status="created")), FailedPrecondition, "is not running"),
        ((200, inspect("web", pid=0, status="restarting")), Unavailable, "is restarting; try again"),
        ((200, inspect("web", pid=2**22 + 1)), FailedPrecondition, "is not running"),
        ((500, {"message": "disk full"}), Unavailable, "500 disk full"),
        ((502, b"<html>"), Unavailable, "502 <html>"),
        ((301, b""), Unavailable, "301"),
        ((200, b"not json"), Unavailable, "not JSON"),
        ((200, [1]), Unavailable, "no usable"),
        ((200, {"Id": ID, "Name": "/web", "State": {}}), Unavailable, "no usable 'Pid'|no usable 'Running'"),
        ((0, b"220 mail.example ESMTP\r\n"), Unavailable, "not HTTP"),
        ((0, b""), Unavailable, "asking Docker"),
    ],
)
def test_every_other_answer_is_an_error_in_words(
    engine: FakeEngine, answer: tuple[int, Any], kind: type[DuctworkError], words: str
) -> None:
    engine.answers["/containers/web/json"] = answer
    with pytest.raises(kind, match=words):
        engine.engines().find("docker", "web")


def test_running_skips_what_ended_meanwhile(engine: FakeEngine) -> None:
    engine.answers["/containers/json"] = (200, [{"Id": "a1"}, {"Id": "b2"}, {"Id": "c3"}])
    engine.answers["/containers/a1/json"] = (200, inspect("web"))
    engine.answers["/containers/b2/json"] = (200, inspect("db", pid=0, status="exited"))
    assert [container.name for container in engine.engines().running("docker")] == ["web"]


def test_existing_goes_by_the_whole_name_or_a_printed_id(engine: FakeEngine) -> None:
    found = (200, inspect("web", pid=0, status="exited"))
    engine.answers.update({f"/containers/{word}/json": found for word in ("web", "0123", ID[:12], ID)})
    engines = engine.engines()
    assert engines.exists("docker", "web")
    assert engines.exists("docker", ID[:12])
    assert engines.exists("docker", ID)
    assert not engines.exists("docker", "0123")  # Docker would take it for the id's beginning
    assert not engines.exists("docker", "db")


@pytest.mark.parametrize("name", ["", "..", "../json", "-a", "a b", "a/b", "a?b", "ä"])
def test_impossible_names_never_reach_an_engine(engine: FakeEngine, name: str) -> None:
    with pytest.raises(InvalidArgument, match="not possible"):
        engine.engines().find("docker", name)
    assert not engine.engines().exists("docker", name)


def test_an_absent_engine_has_no_containers_and_says_so_when_asked(folder: Path) -> None:
    engines = ContainerEngines({"DOCKER_HOST": f"unix://{folder}/none", "PATH": ""}, run=no_tools)
    assert not engines.exists("docker", "web")
    assert not engines.exists("podman", "web")
    assert not engines.exists("lxc", "web")
    with pytest.raises(Unavailable, match="No such file or directory; start Docker, or set DOCKER_HOST"):
        engines.find("docker", "web")
    with pytest.raises(Unavailable, match="Docker"):
        engines.running("docker")
    with pytest.raises(FailedPrecondition, match="install the package lxc"):
        engines.find("lxc", "web")


def test_a_socket_nobody_listens_on(folder: Path) -> None:
    with FakeEngine(folder / "s"):
        pass
    engines = ContainerEngines({"DOCKER_HOST": f"unix://{folder}/s"})
    with pytest.raises(Unavailable, match="Connection refused"):
        engines.find("docker", "web")
    assert not engines.exists("docker", "web")


def test_an_engine_that_never_answers_is_given_up_on(folder: Path) -> None:
    silent = FakeEngine(folder / "s")  # the kernel accepts the connection, nobody serves it
    http = UnixHttp("Docker", str(silent.path), "wait", timeout_s=0.1)
    with silent, http, pytest.raises(Unavailable, match=r"no answer within 0\.1 s; wait"):
        http.get("/containers/json")


def test_a_closed_socket_is_denied_in_words(engine: FakeEngine) -> None:
    code = (
        "import os, sys; from ductwork.kernel.containers import ContainerEngines\n"
        "from ductwork.errors import Denied\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: ContainerEngines().find('docker', 'web')\n"
        "except Denied as error: print(error)"
    )
    if os.geteuid() != 0:
        pytest.skip("becoming somebody else takes root")
    engine.path.parent.chmod(0o755)
    engine.path.chmod(0o600)
    env = {**os.environ, "DOCKER_HOST": f"unix://{engine.path}"}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert said.stdout.endswith("permission denied; run as root\n"), said.stderr


@pytest.mark.parametrize("value", ["tcp://192.0.2.1:2376", "ssh://host", "/run/docker.sock"])
@pytest.mark.parametrize(("kind", "variable"), [("docker", "DOCKER_HOST"), ("podman", "CONTAINER_HOST")])
def test_engines_of_other_machines_are_refused(kind: str, variable: str, value: str) -> None:
    engines = ContainerEngines({variable: value})
    with pytest.raises(InvalidArgument, match="only containers of this machine"):
        engines.find(kind, "web")
    assert not engines.exists(kind, "web")


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="known: docker, podman, lxc"):
        ContainerEngines({}).find("rkt", "web")


@pytest.fixture
def podman(folder: Path) -> ContainerEngines:
    """Podman's command, replaced by a script with the answers of 4.3.1."""
    script = folder / "podman.py"
    answers = {
        "container inspect web": [0, [inspect("web")], ""],
        "container inspect old": [0, [inspect("old", 0, "exited")], ""],
        "container inspect bad": [125, [], "Error: database is locked"],
        "container inspect odd": [0, "no list", ""],
        "ps --quiet --no-trunc": [0, None, ""],
        "container inspect a b": [125, [inspect("web")], "Error: inspecting object: no such container b"],
    }
    script.write_text(
        f"import json, sys\nanswers = json.loads({json.dumps(json.dumps(answers))})\n"
        "no = [125, [], 'Error: inspecting object: no such container ' + sys.argv[-1]]\n"
        "code, out, err = answers.get(' '.join(sys.argv[1:]), no)\n"
        "print('a\\nb' if out is None else json.dumps(out))\n"
        "print('time=now level=warning', file=sys.stderr)\n"
        "print(err, file=sys.stderr)\nsys.exit(code)\n"
    )
    return ContainerEngines({"DUCTWORK_PODMAN": f"{sys.executable} '{script}'"}, run=no_tools)


def test_podmans_command_is_asked_where_there_is_no_service(podman: ContainerEngines) -> None:
    assert podman.find("podman", "web") == Container("podman", ID, "web", ME, "bridge", "/d/hosts")
    assert podman.exists("podman", "old")
    assert not podman.exists("podman", "none")
    assert not podman.exists("podman", "bad")
    assert [container.name for container in podman.running("podman")] == ["web"]
    with pytest.raises(NotFound, match="no podman container none"):
        podman.find("podman", "none")
    with pytest.raises(FailedPrecondition, match="podman start old"):
        podman.find("podman", "old")
    with pytest.raises(Unavailable, match="database is locked"):
        podman.find("podman", "bad")
    with pytest.raises(Unavailable, match="no usable answer"):
        podman.find("podman", "odd")


def test_a_missing_podman_is_named() -> None:
    engines = ContainerEngines({"DUCTWORK_PODMAN": "/nowhere/podman"})
    with pytest.raises(FailedPrecondition, match="DUCTWORK_PODMAN"):
        engines.find("podman", "web")
    assert not engines.exists("podman", "web")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, f"{ME}\n"), ME),
        ((0, ""), FailedPrecondition),
        ((1, "web doesn't exist\n"), NotFound),
        ((1, "Insufficient privileges to control web"), Unavailable),
    ],
    ids=["runs", "stopped", "unknown", "refused"],
)
def test_lxc_is_asked_through_the_hosts_runner(
    answer: tuple[int, str], expected: int | type[DuctworkError]
) -> None:
    ran: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> tuple[int, str]:
        ran.append(argv)
        return answer

    engines = ContainerEngines({}, run=run)
    if isinstance(expected, int):
        assert engines.find("lxc", "web") == Container("lxc", "web", "web", expected)
    else:
        with pytest.raises(expected, match="web"):
            engines.find("lxc", "web")
    assert [argv[0] for argv in ran] == ["lxc-info"]


def test_the_namespace_of_a_process_is_opened_and_a_dead_one_is_not() -> None:
    fd = open_namespace_fd(ME)
    assert os.fstat(fd).st_ino == Path("/proc/self/ns/net").stat().st_ino
    os.close(fd)
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NotFound):  # a zombie still has its pid
        open_namespace_fd(child.pid)
    child.wait()
    for pid in (child.pid, 0, -1, 2**22 + 1):
        with pytest.raises(NotFound, match=f"no process {pid}"):
            open_namespace_fd(pid)


def test_the_errors_share_one_root() -> None:
    assert issubclass(Denied, DuctworkError)
