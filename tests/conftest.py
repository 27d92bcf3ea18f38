"""Fixtures for every test, and the rule that a kernel test may not be skipped where it counts."""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.lab import DockerEngine, Lab, LabHost, PodmanEngine, docker_engine, podman_engine

_KERNEL_FOLDERS = tuple(Path(__file__).parent / name for name in ("netns", "e2e", "docs"))
_SKIPS_FAIL = os.environ.get("CI", "").lower() in {"1", "true"} or "DUCTWORK_NO_SKIP" in os.environ


def _is_kernel_test(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _KERNEL_FOLDERS)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport, path: Path) -> None:
    # An expected failure is reported as a skip too; that one is a statement, not a gap.
    if not (_SKIPS_FAIL and report.skipped and _is_kernel_test(path)) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"a kernel test may not be skipped here (CI or DUCTWORK_NO_SKIP is set): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report, item.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report, collector.path)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _is_kernel_test(item.path) and os.geteuid() != 0:
        pytest.skip("kernel tests make network namespaces: run them as root")


def _machine() -> dict[str, str]:
    """Say what the machine's own network looks like; tests must leave it alone."""
    commands = {
        "links": ["ip", "-br", "link", "show"],
        "addresses": ["ip", "-br", "addr", "show"],
        "nft tables": ["nft", "list", "tables"],
        "forwarding": ["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"],
    }
    return {
        name: subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        for name, argv in commands.items()
    }


@pytest.fixture(scope="session")
def machine_untouched() -> Iterator[None]:
    """Fail the run if a test changed the machine that runs it."""
    before = _machine()
    yield
    after = _machine()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, (
        f"a test changed the machine's own network: {[(before[n], after[n]) for n in changed]}"
    )


@pytest.fixture
def lab(machine_untouched: None) -> Iterator[Lab]:
    """A fresh lab; all that is made in it is gone after the test."""
    with Lab() as fresh:
        yield fresh


@pytest.fixture
def host(lab: Lab) -> LabHost:
    """One host, `h1`, 192.0.2.1."""
    return lab.host("h1")


@pytest.fixture
def outside(lab: Lab) -> LabHost:
    """Another machine on the same network, 192.0.2.254, the default gateway of all hosts."""
    return lab.outside()


@pytest.fixture(scope="session")
def docker(machine_untouched: None) -> Iterator[DockerEngine]:
    """A Docker Engine that many tests share, as it takes seconds to start, on a host in a lab of its own."""
    with Lab() as lab, docker_engine(lab.host("docker")) as engine:
        yield engine


@pytest.fixture(scope="session")
def podman(machine_untouched: None) -> Iterator[PodmanEngine]:
    """Podman that many tests share, on a host in a lab of its own."""
    with Lab() as lab, podman_engine(lab.host("podman")) as engine:
        yield engine
