"""What people do to namespaces by hand blocks nobody: the library on a real kernel."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ductwork import NetworkSpec, SandboxSpec, open_engine
from ductwork.engine.engine import Engine
from ductwork.engine.networks import NetworkUpdate
from ductwork.errors import NotFound
from ductwork.model.host import Host

pytestmark = pytest.mark.usefixtures("machine_untouched")


def tool(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=10)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    name = f"t{secrets.token_hex(5)}"
    tool("ip", "netns", "add", name)
    try:
        with open_engine(Host.at(tmp_path, f"/run/netns/{name}")) as engine:
            engine.create_network(NetworkSpec("net"))
            for sandbox in ("web", "app"):
                engine.create_sandbox(SandboxSpec(sandbox, networks=("net",)))
            yield engine
            engine.remove_sandboxes([s.name for s in engine.sandboxes()])
            engine.remove_networks(["net"])
            assert not engine.store.scan("pending/")
    finally:
        folder = tmp_path / "netns"
        for pinned in (*folder.glob("*"), folder):  # what a failure has left
            subprocess.run(["umount", "-l", str(pinned)], check=False, capture_output=True, timeout=10)
        tool("ip", "netns", "delete", name)


def other_commands_work(engine: Engine) -> None:
    engine.tidy()
    engine.create_sandbox(SandboxSpec("other", networks=("net",)))
    assert engine.report.notes == []
    engine.remove_sandboxes(["other"])


def test_an_interface_deleted_inside_blocks_nobody(engine: Engine) -> None:
    web = next(s for s in engine.sandboxes() if s.name == "web")
    tool("nsenter", f"--net={web.target}", "ip", "link", "delete", "eth0")
    with pytest.raises(NotFound):
        engine.update_network("net", NetworkUpdate(mtu=1300))
    assert not engine.store.scan("pending/")
    other_commands_work(engine)
    engine.disconnect("net", "web")
    engine.update_network("net", NetworkUpdate(mtu=1300))


def test_a_pin_that_lost_its_mount_is_a_dead_sandbox(engine: Engine) -> None:
    web = next(s for s in engine.sandboxes() if s.name == "web")
    tool("umount", "-l", web.target)
    assert Path(web.target).exists() and not engine.is_alive(web)
    assert engine.status().missing
    other_commands_work(engine)
    engine.disconnect("net", "web")
    engine.remove_sandboxes(["web"])
    assert not Path(web.target).exists()
    engine.create_sandbox(SandboxSpec("web", networks=("net",)))
