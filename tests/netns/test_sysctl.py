from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import enter_of

from ductwork.kernel.ports import KernelError
from ductwork.kernel.sysctl import ProcSysctl

FORWARD = "net/ipv4/ip_forward"


@pytest.fixture
def space(lab: Lab) -> Namespace:
    return lab.namespace("sysctl")


@pytest.fixture
def sysctl(space: Namespace) -> ProcSysctl:
    return ProcSysctl(enter_of(space))


def test_each_namespace_has_its_own_values(lab: Lab, space: Namespace, sysctl: ProcSysctl) -> None:
    machine = Path("/proc/sys", FORWARD).read_text()
    other = ProcSysctl(enter_of(lab.namespace("other")))
    assert other.get(FORWARD) == "0"
    sysctl.set(FORWARD, "1")
    assert (sysctl.get(FORWARD), other.get(FORWARD)) == ("1", "0")
    assert space.sysctl(FORWARD) == "1"
    sysctl.set(FORWARD, "0")
    assert space.sysctl(FORWARD) == "0"
    assert Path("/proc/sys", FORWARD).read_text() == machine


def test_an_interface_exists_only_in_its_namespace(space: Namespace, sysctl: ProcSysctl) -> None:
    path = "net/ipv4/conf/a.b:c/rp_filter"
    assert sysctl.get(path) is None
    space.run("ip", "link", "add", "a.b-c", "type", "veth", "peer", "name", "in")
    assert sysctl.get("net/ipv4/conf/a.b-c/rp_filter") in {"0", "1", "2"}
    assert not Path("/proc/sys/net/ipv4/conf/a.b-c").exists()


def test_several_numbers_stay_as_the_kernel_writes_them(sysctl: ProcSysctl) -> None:
    sysctl.set("net/ipv4/ip_local_port_range", "40000 40100")
    assert sysctl.get("net/ipv4/ip_local_port_range") == "40000\t40100"


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        ("net/ipv4/no_such", "1", errno.ENOENT),
        ("net/ipv4/conf/none/forwarding", "1", errno.ENOENT),
        (FORWARD, "words", errno.EINVAL),
        ("net/ipv4/conf", "1", errno.EISDIR),
    ],
)
def test_a_refused_write_says_what_and_why(sysctl: ProcSysctl, path: str, value: str, number: int) -> None:
    with pytest.raises(KernelError, match=f"set sysctl {path} to {value}: {os.strerror(number)}") as caught:
        sysctl.set(path, value)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    "path", ["kernel/hostname", "net/../kernel/hostname", "/net/ipv4/ip_forward", "net//ipv4", "net/./x", ""]
)
def test_only_paths_below_net_are_touched(sysctl: ProcSysctl, path: str) -> None:
    for use in (sysctl.get, sysctl.tree, lambda p: sysctl.set(p, "x")):
        with pytest.raises(KernelError, match="not a path below net/"):
            use(path)


def test_a_value_that_cannot_be_read_is_an_error(sysctl: ProcSysctl) -> None:
    with pytest.raises(KernelError, match="read sysctl net/ipv6/conf/lo/stable_secret"):
        sysctl.get("net/ipv6/conf/lo/stable_secret")  # EIO until it is set


def test_the_tree_is_what_can_be_read_below_a_folder(sysctl: ProcSysctl) -> None:
    sysctl.set(FORWARD, "1")
    tree = sysctl.tree("net/ipv4")
    assert tree[FORWARD] == "1"
    assert "net/ipv4/conf/lo/forwarding" in tree
    assert "net/ipv4/route/flush" not in tree
    assert all(path.startswith("net/ipv4/") for path in tree)
    assert sysctl.tree("net/none") == {}
    assert sysctl.tree(FORWARD) == {}


def test_the_whole_tree_is_read_fast(sysctl: ProcSysctl) -> None:
    began = time.perf_counter()
    tree = sysctl.tree("net")
    assert len(tree) > 200
    assert time.perf_counter() - began < 1
