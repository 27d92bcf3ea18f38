"""Making, opening, finding and deleting namespaces."""

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ductwork.kernel.netns import (
    BoundNamespace,
    Opener,
    create_namespace,
    delete_namespace,
    namespace_paths,
)

pytestmark = pytest.mark.usefixtures("machine_untouched")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "netns"
    yield made
    for path in namespace_paths(str(made)):
        delete_namespace(path)
    subprocess.run(["umount", str(made)], check=False, capture_output=True, timeout=10)


@pytest.fixture
def opener() -> Iterator[Opener]:
    opener = Opener()
    yield opener
    opener.close()


@pytest.fixture
def path(folder: Path) -> str:
    made = str(folder / "one")
    create_namespace(made)
    return made


def own() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def links_in(path: str) -> list[str]:
    argv = ["nsenter", f"--net={path}", "ip", "-br", "link", "show"]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=10).stdout
    return [line.split()[0].split("@")[0] for line in shown.splitlines()]


def mounts() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


class TestMaking:
    def test_a_fresh_namespace_that_nobody_else_is_in(self, path: str) -> None:
        before = own()
        assert links_in(path) == ["lo"]
        assert own() == before
        assert {str((task / "ns/net").readlink()) for task in Path("/proc/self/task").iterdir()} == {before}

    @pytest.mark.usefixtures("path")
    def test_it_reaches_other_mount_namespaces(self, folder: Path) -> None:
        # In a mount namespace that receives, as a service's is, what comes later must appear too.
        argv = [
            "unshare",
            "-m",
            "--propagation",
            "slave",
            "sh",
            "-c",
            "echo; read line; stat -fc %T $0",
            f"{folder}/two",
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            other.stdout.readline()
            create_namespace(f"{folder}/two")
            shown, _ = other.communicate("go\n", timeout=10)
        assert shown.strip() == "nsfs"

    def test_a_taken_path_is_refused(self, folder: Path, path: str) -> None:
        inode = Path(path).stat().st_ino
        with pytest.raises(FileExistsError):
            create_namespace(path)
        assert Path(path).stat().st_ino == inode
        (folder / "file").write_text("theirs")
        with pytest.raises(FileExistsError):
            create_namespace(f"{folder}/file")
        assert (folder / "file").read_text() == "theirs"

    def test_what_a_killed_create_left_is_finished(self, folder: Path, path: str) -> None:
        left = folder / "two"
        left.touch(mode=0)
        left.chmod(0)
        create_namespace(str(left))
        assert namespace_paths(str(folder)) == [path, str(left)]

    def test_a_folder_that_cannot_be_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file"):
            create_namespace(f"{tmp_path}/file/one")

    def test_ip_netns_knows_it(self) -> None:
        name = f"t{secrets.token_hex(5)}"
        create_namespace(f"/run/netns/{name}")
        try:
            shown = subprocess.run(["ip", "netns", "exec", name, "true"], check=False, timeout=10)
            assert shown.returncode == 0
        finally:
            delete_namespace(f"/run/netns/{name}")
        assert not Path(f"/run/netns/{name}").exists()
        assert "/run/netns" in mounts()


class TestDeleting:
    def test_twice(self, folder: Path, path: str) -> None:
        delete_namespace(path)
        delete_namespace(path)
        delete_namespace(f"{folder}/never")
        delete_namespace(f"{folder}/never/ever")
        assert list(folder.iterdir()) == []

    def test_a_file_without_a_mount(self, folder: Path, path: str) -> None:
        (folder / "two").touch()
        delete_namespace(f"{folder}/two")
        assert namespace_paths(str(folder)) == [path]

    def test_one_that_ip_netns_made(self) -> None:
        name = f"t{secrets.token_hex(5)}"
        subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
        delete_namespace(f"/run/netns/{name}")
        shown = subprocess.run(
            ["ip", "netns", "list"], check=True, timeout=10, capture_output=True, text=True
        )
        assert name not in shown.stdout

    def test_the_last_one_frees_the_folder(self, folder: Path, path: str) -> None:
        create_namespace(f"{folder}/two")
        delete_namespace(path)
        assert str(folder) in mounts()
        delete_namespace(f"{folder}/two")
        assert str(folder) not in mounts()
        folder.rmdir()

    def test_the_namespace_ends(self, path: str, opener: Opener) -> None:
        """Nothing of ours keeps it alive: not the opener's thread, and not what that thread returned."""
        space = BoundNamespace.open(path, opener)
        name = f"t{secrets.token_hex(4)}"
        other = f"t{secrets.token_hex(5)}"
        subprocess.run(["ip", "netns", "add", other], check=True, timeout=10)
        try:
            pair = ["ip", "-n", other, "link", "add", name, "type", "veth", "peer", "name", "x"]
            subprocess.run([*pair, "netns", path], check=True, timeout=10)
            space.enter(lambda: open("/proc/self/stat").close())  # noqa: PTH123
            space.close()
            delete_namespace(path)
            for _ in range(100):
                if name not in links_in(f"/run/netns/{other}"):
                    break
                time.sleep(0.05)
            shown = links_in(f"/run/netns/{other}")
        finally:
            delete_namespace(f"/run/netns/{other}")
        assert shown == ["lo"]


class TestFinding:
    def test_only_namespaces_sorted(self, folder: Path) -> None:
        assert namespace_paths(str(folder)) == []
        for name in ("b", "a"):
            create_namespace(f"{folder}/{name}")
        (folder / "file").touch()
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to(folder / "a")
        assert namespace_paths(str(folder)) == [f"{folder}/a", f"{folder}/b"]
        assert namespace_paths(f"{folder}/file") == []


class TestOpening:
    def test_a_cookie_names_a_namespace(self, folder: Path, path: str, opener: Opener) -> None:
        create_namespace(f"{folder}/two")
        spaces = [BoundNamespace.open(p, opener) for p in (path, f"{folder}/two", path)]
        try:
            one, two, again = (space.cookie for space in spaces)
            assert one == again != two
            assert min(one, two) > 0
        finally:
            for space in spaces:
                space.close()

    def test_nothing(self, folder: Path, opener: Opener) -> None:
        for path in (f"{folder}/nothing", f"{folder}/no/thing", "/etc/passwd/x"):
            with pytest.raises(FileNotFoundError):
                BoundNamespace.open(path, opener)

    @pytest.mark.parametrize("what", ["/etc/passwd", "/etc", "/dev/null", "/proc/self/ns/mnt", "pipe"])
    def test_what_is_no_network_namespace(self, tmp_path: Path, opener: Opener, what: str) -> None:
        if what == "pipe":
            what = str(tmp_path / "pipe")
            os.mkfifo(what)
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(ValueError, match="is not a network namespace"):
            BoundNamespace.open(what, opener)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_it_outlives_its_path(self, path: str, opener: Opener) -> None:
        space = BoundNamespace.open(path, opener)
        delete_namespace(path)
        try:
            found = space.enter(lambda: Path("/proc/thread-self/net/dev").read_text())
            assert "lo:" in found
        finally:
            space.close()


class TestOpener:
    def test_what_is_done_inside_stays_there(self, path: str, opener: Opener) -> None:
        space = BoundNamespace.open(path, opener)
        try:
            inside = space.enter(own)
            assert inside != own()
            assert space.enter(threading.get_ident) != threading.get_ident()
            assert opener.run(space.fd, own) == inside
        finally:
            space.close()

    def test_errors_come_back(self, path: str, opener: Opener) -> None:
        def fail() -> None:
            raise KeyError("inside")

        space = BoundNamespace.open(path, opener)
        try:
            with pytest.raises(KeyError, match="inside"):
                space.enter(fail)
            assert space.enter(lambda: 5) == 5
        finally:
            space.close()
        with pytest.raises(OSError, match="setns"):
            opener.run(-1, own)

    def test_many_threads(self, path: str, opener: Opener) -> None:
        space = BoundNamespace.open(path, opener)
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(space.enter(lambda: n))) for n in range(30)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=10)
            assert sorted(answers) == list(range(30))
        finally:
            space.close()
