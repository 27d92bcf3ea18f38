from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ductwork.kernel import files
from ductwork.kernel.files import write_hosts
from ductwork.kernel.openat2 import open_in_root
from ductwork.kernel.ports import KernelError

LINES = ["10.1.0.2\tweb"]
BLOCK = "# begin ductwork\n10.1.0.2\tweb\n# end ductwork\n"
UNSHARE = ("unshare", "-m", "--propagation", "private", "sh", "-euc")
OWN_HOSTS = Path("/etc/hosts")


@pytest.fixture(autouse=True)
def machine_keeps_its_hosts_file() -> Iterator[None]:
    before = OWN_HOSTS.read_bytes() if OWN_HOSTS.exists() else None
    yield
    assert before == (OWN_HOSTS.read_bytes() if OWN_HOSTS.exists() else None)


# file:PATH


def test_a_missing_file_is_made_with_its_folder_and_goes_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "netns" / "web" / "hosts"
    assert write_hosts(f"file:{path}", LINES)
    text = path.read_text()
    assert text.endswith(BLOCK)
    assert "127.0.0.1\tlocalhost\n::1\tlocalhost" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert write_hosts(f"file:{path}", ["10.1.0.3\tdb"])
    assert "web" not in path.read_text()
    for _ in range(2):
        assert write_hosts(f"file:{path}", [])
        assert not path.parent.exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    write_hosts(f"file:{path}", LINES)
    write_hosts(f"file:{path}", [])
    assert tmp_path.exists() and not path.exists()


def test_a_folder_of_ours_stays_while_others_use_it(tmp_path: Path) -> None:
    path = tmp_path / "web" / "hosts"
    write_hosts(f"file:{path}", LINES)
    (path.parent / "resolv.conf").touch()
    write_hosts(f"file:{path}", [])
    assert [p.name for p in path.parent.iterdir()] == ["resolv.conf"]


def test_a_file_of_ours_stays_when_somebody_wrote_in_it(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    write_hosts(f"file:{path}", LINES)
    with path.open("a") as file:
        file.write("10.9.9.9 theirs\n")
    write_hosts(f"file:{path}", [])
    assert path.read_text().endswith("localhost ip6-localhost ip6-loopback\n10.9.9.9 theirs\n")


@pytest.mark.parametrize("content", [b"", b"127.0.0.1 localhost\n", b"no end of line", b"\xff\0\r\n\n"])
def test_somebody_elses_file_is_restored_on_the_same_inode(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(content)
    path.chmod(0o640)
    before = path.stat()
    write_hosts(f"file:{path}", LINES)
    assert b"10.1.0.2\tweb" in path.read_bytes()
    write_hosts(f"file:{path}", [*LINES, "fd00::2\tweb"])
    write_hosts(f"file:{path}", [])
    assert path.read_bytes() == content
    after = path.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    write_hosts(f"file:{path}", LINES)
    os.utime(path, (0, 0))
    write_hosts(f"file:{path}", LINES)
    assert path.stat().st_mtime == 0


@pytest.mark.parametrize("where", ["web", "file:", "pid:", "pid:x", "pid:-1", "pid:²", "other:1"])
def test_a_target_of_another_form_is_refused(where: str) -> None:
    with pytest.raises(KernelError, match="neither file:PATH nor pid:N"):
        write_hosts(where, LINES)


def test_a_line_with_a_line_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="one of the lines is several"):
        write_hosts(f"file:{tmp_path / 'hosts'}", ["10.1.0.2\tweb\n10.9.9.9 other"])


def test_what_is_no_sensible_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KernelError, match="not a regular file"):
        write_hosts(f"file:{tmp_path / 'pipe'}", LINES)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(KernelError, match="larger than") as caught:
        write_hosts(f"file:{tmp_path / 'huge'}", LINES)
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(KernelError, match="Is a directory"):
        write_hosts(f"file:{tmp_path}", LINES)


WRITE_MUCH = """
import sys
from ductwork.kernel.files import write_hosts
from ductwork.kernel.ports import KernelError
try:
    write_hosts("file:" + sys.argv[1] + "/hosts", [f"10.1.{i}.2 web" for i in range(400)])
except KernelError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    script = """
mount -t tmpfs -o size=8k tmpfs "$1"
printf 'a\\n%s\\nb\\n' '# begin ductwork
10.1.0.2 web
# end ductwork' > "$1/hosts"
cp "$1/hosts" "$1/../before"
head -c 4096 /dev/zero > "$1/filler"
"$PYTHON" -c "$WRITE" "$1"
cmp "$1/hosts" "$1/../before"
"""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        [*UNSHARE, script, "sh", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHON": sys.executable, "WRITE": WRITE_MUCH},
    )
    assert "No space left on device" in done.stdout


# pid:N


CHROOT = """
import os, sys
os.chroot(sys.argv[1])
print("inside", flush=True)
sys.stdin.read()
"""


class Container:
    """A process with mounts and a root folder of its own; `prepare` are shell lines, $1 is the root."""

    def __init__(self, root: Path, prepare: str = "", *arguments: str) -> None:
        script = f'mount --bind "$1" "$1"; {prepare}\n exec "$PYTHON" -c "$CHROOT" "$1"'
        self.process = subprocess.Popen(
            [*UNSHARE, script, "sh", str(root), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHON": sys.executable, "CHROOT": CHROOT},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "inside\n"

    @property
    def where(self) -> str:
        return f"pid:{self.process.pid}"

    def close(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the machine that no container may reach."""
    path = tmp_path / "victim"
    path.write_text("precious\n")
    return path


def test_the_file_that_the_process_sees_is_written(root: Path, tmp_path: Path) -> None:
    (root / "etc/hosts").write_text("below\n")
    mounted = tmp_path / "mounted"
    mounted.write_text("127.0.0.1 localhost\n")
    inode = mounted.stat().st_ino
    container = Container(root, 'mount --bind "$2" "$1/etc/hosts"', str(mounted))
    assert write_hosts(container.where, LINES)
    assert mounted.read_text() == "127.0.0.1 localhost\n" + BLOCK
    assert mounted.stat().st_ino == inode
    assert write_hosts(container.where, [])
    container.close()
    assert mounted.read_text() == "127.0.0.1 localhost\n"
    assert (root / "etc/hosts").read_text() == "below\n"


def test_a_missing_file_is_made_in_the_root_and_goes_again(root: Path) -> None:
    container = Container(root)
    assert not write_hosts(container.where, [])
    assert write_hosts(container.where, LINES)
    assert (root / "etc/hosts").read_text().endswith(BLOCK)
    assert write_hosts(container.where, [])
    container.close()
    assert list((root / "etc").iterdir()) == []


def test_a_root_without_etc_has_nothing_to_write_to(root: Path) -> None:
    (root / "etc").rmdir()
    container = Container(root)
    assert not write_hosts(container.where, LINES)
    container.close()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("link", ["{victim}", "../../../../../../../..{victim}", "/proc/self/root{victim}"])
def test_a_link_cannot_lead_out_of_the_root(root: Path, victim: Path, link: str) -> None:
    (root / "etc/hosts").symlink_to(link.format(victim=victim))
    container = Container(root)
    with pytest.raises(KernelError, match="File exists"):
        write_hosts(container.where, LINES)
    container.close()
    assert victim.read_text() == "precious\n"


def test_a_folder_link_cannot_lead_out_of_the_root(root: Path, victim: Path) -> None:
    (victim.parent / "hosts").write_text("precious\n")
    (root / "etc").rmdir()
    (root / "etc").symlink_to(f"../..{victim.parent}")
    container = Container(root)
    assert not write_hosts(container.where, LINES)
    container.close()
    assert (victim.parent / "hosts").read_text() == "precious\n"


def test_a_magic_link_is_not_followed(root: Path, victim: Path) -> None:
    (root / "proc").mkdir()
    with victim.open() as file:
        (root / "etc/hosts").symlink_to(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        container = Container(root, 'mount -t proc proc "$1/proc"')
        with pytest.raises(KernelError) as caught:
            write_hosts(container.where, LINES)
        container.close()
    assert caught.value.errno == errno.ELOOP
    assert victim.read_text() == "precious\n"


def test_a_link_inside_the_root_is_followed(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run/hosts").write_text("theirs\n")
    (root / "etc/hosts").symlink_to("/run/hosts")
    container = Container(root)
    write_hosts(container.where, LINES)
    container.close()
    assert (root / "run/hosts").read_text() == "theirs\n" + BLOCK


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK], ids=["pipe", "socket"])
def test_what_is_no_file_is_not_even_opened(root: Path, kind: int) -> None:
    os.mknod(root / "etc/hosts", kind)
    container = Container(root)
    with pytest.raises(
        KernelError, match=rf"write hosts of pid:{container.process.pid}: it is not a regular"
    ):
        write_hosts(container.where, LINES)
    container.close()


def test_a_read_only_root_is_an_error_in_words(root: Path) -> None:
    (root / "etc/hosts").write_text("theirs\n")
    container = Container(root, 'mount -o remount,bind,ro "$1"')
    with pytest.raises(KernelError, match="Read-only file system"):
        write_hosts(container.where, LINES)
    container.close()


def test_a_process_that_shares_the_machines_file_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            assert not write_hosts(f"pid:{process.pid}", LINES)
            assert not write_hosts(f"pid:{process.pid}", [])
        finally:
            process.kill()
    assert not write_hosts(f"pid:{os.getpid()}", LINES)


def test_a_process_that_ends_meanwhile_does_not_show_what_its_mounts_covered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "etc/hosts").write_text("below\n")
    (tmp_path / "mounted").write_text("above\n")
    container = Container(root, 'mount --bind "$2" "$1/etc/hosts"', str(tmp_path / "mounted"))

    def ends_first(folder: int, path: str, flags: int) -> int:
        container.close()
        return open_in_root(folder, path, flags)

    monkeypatch.setattr(files, "open_in_root", ends_first)
    assert not write_hosts(container.where, LINES)
    assert (root / "etc/hosts").read_text() == "below\n"


def test_a_vanished_process_is_success() -> None:
    process = subprocess.Popen(["true"])
    assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not write_hosts(f"pid:{process.pid}", LINES), "a zombie has no root any more"
    process.wait()
    assert not write_hosts(f"pid:{process.pid}", LINES)
    assert not write_hosts("pid:999999999", [])
