"""Loading, owning and deleting our table, and looking at everybody's chains, judged by the nft command."""

import errno
import json
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import SETS_ONLY, element, enter_of, listed, sets_text

from ductwork.kernel.nft import NftSocket
from ductwork.kernel.ports import KernelError, NftChainInfo
from ductwork.model.nft_text import count_rules
from ductwork.model.objects import HOST, Add, Ruleset
from ductwork.plan.ruleset import render_ruleset


@pytest.fixture
def space(lab: Lab) -> Namespace:
    return lab.namespace("nft")


@pytest.fixture
def nft(space: Namespace) -> Iterator[NftSocket]:
    socket = NftSocket(HOST, enter_of(space))
    yield socket
    socket.close()
    socket.close()


def _tables(space: Namespace) -> list[str]:
    return space.run("nft", "list", "tables").stdout.split("\n")[:-1]


def test_the_owner_is_read_from_the_comment(space: Namespace, nft: NftSocket) -> None:
    assert nft.owner() is None
    nft.load(Ruleset(HOST, "3f2a-ü", sets_text(comment="ductwork host 3f2a-ü")))
    assert nft.owner() == "3f2a-ü"
    assert 'comment "ductwork host 3f2a-ü"' in space.run("nft", "list", "table", "inet", "ductwork").stdout
    nft.load(Ruleset(HOST, "", sets_text(comment="somebody else's")))
    assert nft.owner() == "somebody else's"
    space.run("nft", "flush ruleset; add table inet ductwork")
    assert nft.owner() == ""


def test_loading_replaces_our_table_and_no_other(space: Namespace, nft: NftSocket) -> None:
    space.run("nft", "add table ip mine; add chain ip mine keep")
    mine = space.run("nft", "list", "table", "ip", "mine").stdout
    nft.load(SETS_ONLY)
    nft.apply([Add(element("bridges", "br0"))])
    nft.load(SETS_ONLY)
    assert listed(space, "bridges") == set()
    assert _tables(space) == ["table ip mine", "table inet ductwork"]
    assert space.run("nft", "list", "table", "ip", "mine").stdout == mine


def test_the_real_ruleset_loads_and_takes_elements(space: Namespace, nft: NftSocket) -> None:
    nft.load(Ruleset(HOST, "id", render_ruleset("id")))
    assert nft.owner() == "id"
    nft.apply([Add(element("publish_any4", 6, 80, value=("10.0.0.2", 80)))])
    assert len(listed(space, "publish_any4")) == 1


def test_the_rules_are_counted_as_they_are_written(space: Namespace, nft: NftSocket) -> None:
    text = render_ruleset("id")
    assert nft.rule_count() == 0
    space.run("nft", "add table ip ductwork; add chain ip ductwork c; add rule ip ductwork c accept")
    space.run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
    assert nft.rule_count() == 0
    nft.load(Ruleset(HOST, "id", text))
    assert nft.rule_count() == count_rules(text) > 30
    space.run("nft", "add rule inet ductwork guard accept")
    assert nft.rule_count() == count_rules(text) + 1
    space.run("nft", "flush table inet ductwork")
    assert nft.owner() == "id"
    assert nft.rule_count() == 0


def test_a_bad_ruleset_leaves_the_old_one_in_place(space: Namespace, nft: NftSocket) -> None:
    nft.load(SETS_ONLY)
    nft.apply([Add(element("bridges", "br0"))])
    for text in ("table inet ductwork { set x { type nosuch; } }", "table inet ductwork {"):
        with pytest.raises(KernelError, match=r"loading our nft table: .*Error: ") as refused:
            nft.load(Ruleset(HOST, "id", text))
        assert refused.value.errno == errno.EINVAL
    assert listed(space, "bridges") == {element("bridges", "br0")}


def test_our_table_never_seems_missing_while_it_is_loaded_again(nft: NftSocket) -> None:
    nft.load(SETS_ONLY)
    missing = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if nft.owner() is None:
                missing.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        nft.load(SETS_ONLY)
    done.set()
    watcher.join()
    assert missing == []


def test_deleting_our_table_twice_is_success(space: Namespace, nft: NftSocket) -> None:
    space.run("nft", "add table ip mine")
    nft.load(SETS_ONLY)
    for _ in range(2):
        nft.delete_table()
        assert _tables(space) == ["table ip mine"]


def test_base_chains_of_all_families_are_told_as_nft_tells_them(space: Namespace, nft: NftSocket) -> None:
    assert nft.base_chains() == []
    nft.load(Ruleset(HOST, "id", render_ruleset("id")))
    space.run(
        *("nft", "-f", "-"),
        stdin="""
        table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }
        table ip filter { chain DOCKER-USER { }; }
        table ip6 r { chain route { type route hook output priority mangle; }; }
        table bridge b { chain f { type filter hook forward priority -200; policy drop; }; }
        table arp a { chain i { type filter hook input priority 7; }; }
        table arp a { chain o { type filter hook output priority 8; }; }
        table netdev n { chain i { type filter hook ingress device lo priority -500; }; }
        table netdev e { chain o { type filter hook egress device lo priority 1; policy drop; }; }
        table inet i { chain i { type filter hook ingress device lo priority 3; policy drop; }; }
        table ip nat { chain pre { type nat hook prerouting priority dstnat; }; }
        """,
    )
    shown = json.loads(space.run("nft", "-j", "list", "chains").stdout)["nftables"]
    expected = {
        NftChainInfo(c["family"], c["table"], c["name"], c["type"], c["hook"], c["prio"], c["policy"])
        for c in (entry["chain"] for entry in shown if "chain" in entry)
        if "hook" in c
    }
    theirs = {chain for chain in expected if chain.table != "ductwork"}
    assert len(theirs) == 9 and theirs != expected  # every one above, and ours beside them
    assert set(nft.base_chains()) == expected


def test_iptables_chains_are_base_chains_too(space: Namespace, nft: NftSocket) -> None:
    space.run("iptables-nft", "-P", "FORWARD", "DROP")
    assert NftChainInfo("ip", "filter", "FORWARD", "filter", "forward", 0, "drop") in nft.base_chains()


def test_commands_run_inside_the_namespace(space: Namespace, nft: NftSocket) -> None:
    assert nft.run("list tables") == ""
    nft.run("add table ip one\nadd table ip two")
    assert nft.run("list tables") == "table ip one\ntable ip two\n"
    named = [entry["table"]["name"] for entry in json.loads(nft.run("-j list tables"))["nftables"][1:]]
    assert named == ["one", "two"]
    assert _tables(space) == ["table ip one", "table ip two"]


def test_a_refused_command_tells_nfts_own_words(space: Namespace, nft: NftSocket) -> None:
    with pytest.raises(KernelError, match="Error: No such file or directory") as refused:
        nft.run("add table ip fine\nadd chain ip nosuch x")
    assert refused.value.errno == errno.ENOENT
    assert _tables(space) == []


def test_without_the_capability_words_say_so(space: Namespace) -> None:
    script = (
        "import sys;sys.path[:0]=sys.argv[1:]\n"
        "from ductwork.kernel.nft import NftSocket\n"
        "from ductwork.kernel.ports import KernelError\n"
        "from ductwork.model.objects import *\n"
        "nft = NftSocket(HOST, lambda work: work())\n"
        "for go in (lambda: nft.apply([Add(NftElement(HOST, 'bridges', ('br0',)))]), nft.owner,\n"
        "           nft.delete_table, nft.base_chains, lambda: nft.run('list tables')):\n"
        "    try: print('done', go())\n"
        "    except KernelError as error: print(error.errno, error)\n"
    )
    path = [entry for entry in sys.path if entry]
    ran = space.run(
        "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", script, *path
    )
    lines = ran.stdout.splitlines()
    assert len(lines) == 5, ran
    assert all(line.startswith("1 ") for line in lines), ran.stdout
