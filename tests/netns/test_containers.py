"""Finding containers of a real Docker Engine and of real Podman, and opening their namespaces."""

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab import DockerEngine, Lab, PodmanEngine, docker_engine, podman_engine, wait_until

from ductwork.errors import FailedPrecondition, NotFound, Unavailable
from ductwork.kernel.containers import ContainerEngines, open_namespace_fd


@dataclass
class Real:
    """An engine under test: ours is asked, and the lab's own client is believed."""

    kind: str
    lab: DockerEngine | PodmanEngine
    engines: ContainerEngines
    command: Callable[..., object]


def docker_found(docker: DockerEngine) -> Real:
    return Real("docker", docker, ContainerEngines(docker.env), docker.docker)


def podman_environment(podman: PodmanEngine) -> dict[str, str]:
    # The lab's Podman lives in mounts of its own: DUCTWORK_PODMAN says how to get there.
    return {**os.environ, **podman.env, "DUCTWORK_PODMAN": shlex.join(podman._holder.command("podman"))}


@pytest.fixture(scope="module")
def podman_service(podman: PodmanEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Podman's service on a socket, started by hand."""
    path = podman.folder / "podman.sock"
    argv = podman._holder.command("podman", "system", "service", "--time=0", f"unix://{path}")
    process = podman.host.popen_outside(argv, env=podman.env)
    wait_until(path.is_socket, "Podman's socket", timeout=20)
    yield path
    process.terminate()
    process.wait(10)


@pytest.fixture(params=["docker", "podman-command", "podman-service"])
def real(request: pytest.FixtureRequest) -> Real:
    if request.param == "docker":
        return docker_found(request.getfixturevalue("docker"))
    podman: PodmanEngine = request.getfixturevalue("podman")
    environ = podman_environment(podman)
    if request.param == "podman-service":
        environ = {"CONTAINER_HOST": f"unix://{request.getfixturevalue('podman_service')}"}
    return Real("podman", podman, ContainerEngines(environ), podman.podman)


@pytest.fixture
def name(real: Real, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for one container, which is removed after the test."""
    chosen = f"t{abs(hash(request.node.name)) % 10**8}"
    yield chosen
    real.command("rm", "-f", chosen, check=False)


def test_a_running_container_is_found_by_name_and_id(real: Real, name: str) -> None:
    identity = real.lab.run_container(name)
    found = real.engines.find(real.kind, name)
    assert (found.kind, found.id, found.name) == (real.kind, identity, name)
    assert found.pid == real.lab.pid(name)
    assert found.network_mode not in {"", "host"}
    assert real.engines.find(real.kind, identity[:12]) == found
    assert found in real.engines.running(real.kind)
    # The hosts file is the very one that the container sees.
    assert Path(found.hosts_path).read_text() == real.lab.exec(name, "cat", "/etc/hosts").stdout


def test_its_namespace_is_the_one_it_lives_in(real: Real, name: str) -> None:
    real.lab.run_container(name)
    fd = open_namespace_fd(real.engines.find(real.kind, name).pid)
    inside = real.lab.exec(name, "readlink", "/proc/self/ns/net").stdout.strip()
    try:
        assert inside == f"net:[{os.fstat(fd).st_ino}]"
    finally:
        os.close(fd)


def test_host_mode_is_told(real: Real, name: str) -> None:
    real.lab.run_container(name, options=["--network", "host"])
    assert real.engines.find(real.kind, name).network_mode == "host"


def test_a_stopped_container_exists_and_says_how_to_start_it(real: Real, name: str) -> None:
    real.lab.run_container(name)
    pid = real.engines.find(real.kind, name).pid
    real.command("stop", "--time", "0", name)
    with pytest.raises(
        FailedPrecondition, match=f"{name} is not running; start it with: {real.kind} start {name}"
    ):
        real.engines.find(real.kind, name)
    assert real.engines.exists(real.kind, name)
    assert name not in {container.name for container in real.engines.running(real.kind)}
    with pytest.raises(NotFound):
        open_namespace_fd(pid)
    real.command("start", name)
    assert real.engines.find(real.kind, name).pid != pid


def test_an_unknown_container_is_not_found(real: Real) -> None:
    with pytest.raises(NotFound, match="list them with"):
        real.engines.find(real.kind, "nobody")
    assert not real.engines.exists(real.kind, "nobody")
    # An image is no container, though `inspect` knows it too.
    assert not real.engines.exists(real.kind, "busybox")


def test_an_engine_that_stopped_is_unavailable_and_has_no_containers(lab: Lab) -> None:
    with docker_engine(lab.host("h1")) as docker:
        docker.run_container("web")
        engines = ContainerEngines(docker.env)
        assert engines.exists("docker", "web")
        docker.stop()
        with pytest.raises(Unavailable, match="start Docker"):
            engines.find("docker", "web")
        assert not engines.exists("docker", "web")


def test_podman_with_cni_is_found_too(lab: Lab) -> None:
    with podman_engine(lab.host("h1"), "cni") as podman:
        podman.run_container("web")
        found = ContainerEngines(podman_environment(podman)).find("podman", "web")
        assert found.pid == podman.pid("web")
