"""Other people's firewalls, real ones: closed before, open for our bridge alone, afterwards as they were."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest
from tests.lab import Lab, LabHost, Namespace, curl, docker_engine, fetch, http_server, ping, wait_until
from tests.netns.nft_lab import enter_of

from ductwork.errors import FailedPrecondition
from ductwork.kernel.foreign import apply_foreign, observe_foreign, read_legacy_tables
from ductwork.kernel.nft import NftSocket
from ductwork.kernel.ports import KernelError
from ductwork.kernel.tools import run_tool
from ductwork.model.foreign import ForeignView
from ductwork.model.objects import HOST, Add, ForeignAccept, Remove
from ductwork.plan.foreign import plan_foreign, plan_warnings

OURS, THEIRS = "duct0", "other0"
TAG = "3f2a:web"
OWNED = """
add table inet firewalld { flags owner; }
add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
add rule inet firewalld filter_FORWARD reject with icmpx type admin-prohibited
"""


@dataclass
class Site:
    """A host with a bridge of ours and one of somebody else's, a container on each, and a peer outside."""

    host: LabHost
    outside: LabHost
    ours: Namespace
    theirs: Namespace
    nft: NftSocket

    def __post_init__(self) -> None:
        self.ran: list[Sequence[str]] = []
        self.enter = enter_of(self.host)

    def run(self, argv: Sequence[str], stdin: str = "", /) -> tuple[int, str]:
        self.ran.append(argv)
        return run_tool(argv, enter=self.enter, stdin=stdin)

    def view(self) -> ForeignView:
        legacy = partial(self.enter, read_legacy_tables)
        return observe_foreign(self.nft.base_chains(), self.run, self.nft.run, legacy)

    def plan(self, families: set[int] | None = None) -> list[ForeignAccept]:
        return plan_foreign(self.view(), OURS, TAG, families or {4, 6})

    def apply(self, step: Add | Remove) -> None:
        apply_foreign(step, self.run, self.nft.run)

    def open(self) -> list[ForeignAccept]:
        accepts = self.plan()
        for accept in accepts:
            self.apply(Add(accept))
        return accepts

    def tables(self) -> str:
        """Everything that any firewall holds, without counters and handles."""
        saved = [
            self.host.run(f"{family}-{backend}-save").stdout
            for family in ("iptables", "ip6tables")
            for backend in ("nft", "legacy")
        ]
        text = "\n".join([*saved, self.host.run("nft", "list", "ruleset").stdout])
        text = re.sub(r"\[\d+:\d+\]", "[]", text)
        text = re.sub(r"packets \d+ bytes \d+", "", text)
        # iptables-save dates its output.
        return "\n".join(line for line in text.splitlines() if not line.startswith("#"))

    def neighbour_on_our_bridge(self) -> None:
        """Plug 10.77.1.3 into our bridge, next to our container."""
        self.host.ip_batch(f"link add v3 type veth peer name eth1 netns {self.theirs.name}")
        self.host.ip_batch(f"link set v3 master {OURS} up")
        self.theirs.ip_batch("addr add 10.77.1.3/32 dev eth1", "link set eth1 up")
        self.theirs.ip_batch("route add 10.77.1.2 dev eth1 src 10.77.1.3")

    def passes(self, family: int = 4) -> tuple[bool, bool]:
        """Say whether our container reaches the peer outside, and whether theirs does."""
        address = self.outside.address if family == 4 else self.outside.address6
        ours, theirs = (ping(space, address, timeout=0.5) for space in (self.ours, self.theirs))
        return ours, theirs

    def reached(self) -> tuple[bool, bool]:
        """Say whether the peer outside reaches our container and theirs."""
        ours, theirs = (ping(self.outside, f"10.77.{n}.2", timeout=0.5) for n in (1, 2))
        return ours, theirs


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    host, outside = lab.host("h1"), lab.outside()
    host.set_sysctl("net/ipv4/ip_forward", 1)
    host.set_sysctl("net/ipv6/conf/all/forwarding", 1)
    spaces = []
    for number, bridge in ((1, OURS), (2, THEIRS)):
        space = lab.namespace(bridge)
        host.ip_batch(
            f"link add {bridge} type bridge",
            f"addr add 10.77.{number}.1/24 dev {bridge}",
            f"addr add fd77:{number}::1/64 dev {bridge} nodad",
            f"link set {bridge} up",
            f"link add v{number} type veth peer name eth0 netns {space.name}",
            f"link set v{number} master {bridge} up",
        )
        space.ip_batch(
            f"addr add 10.77.{number}.2/24 dev eth0",
            f"addr add fd77:{number}::2/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via 10.77.{number}.1",
            f"route add ::/0 via fd77:{number}::1",
        )
        outside.ip_batch(
            f"route add 10.77.{number}.0/24 via {host.address}",
            f"route add fd77:{number}::/64 via {host.address6}",
        )
        spaces.append(space)
    nft = NftSocket(HOST, enter_of(host))
    yield Site(host, outside, spaces[0], spaces[1], nft)
    nft.close()


def close_all(site: Site, tool: str, docker: bool) -> None:
    """Do what Docker does to a host: DROP, with DOCKER-USER for others, or plain DROP."""
    site.host.run(tool, "-P", "FORWARD", "DROP")
    if docker:
        site.host.run(tool, "-N", "DOCKER-USER")
        site.host.run(tool, "-A", "DOCKER-USER", "-j", "RETURN")
        site.host.run(tool, "-I", "FORWARD", "-j", "DOCKER-USER")


def test_nothing_is_run_planned_or_loaded_where_no_other_firewall_is(site: Site) -> None:
    before = site.tables()  # `iptables-legacy-save` of this line loads nothing: it reads the names in /proc
    assert site.plan() == []
    assert site.ran == []
    assert site.tables() == before
    assert site.enter(read_legacy_tables) == set()
    assert site.passes() == (True, True)


@pytest.mark.parametrize("docker", [True, False], ids=["docker-user", "policy"])
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_iptables_is_opened_for_our_bridge_alone_and_left_as_it_was(
    site: Site, backend: str, docker: bool
) -> None:
    assert site.passes() == (True, True)
    for family in ("iptables", "ip6tables"):
        close_all(site, f"{family}-{backend}", docker)
    before = site.tables()
    assert site.passes() == (False, False)

    accepts = site.open()

    suffix = "-legacy" if backend == "legacy" else ""
    assert {accept.firewall for accept in accepts} == {f"iptables{suffix}", f"ip6tables{suffix}"}
    assert {accept.chain for accept in accepts} == {"DOCKER-USER" if docker else "FORWARD"}
    assert site.passes() == (True, False)
    assert site.passes(6) == (True, False)
    assert site.reached() == (True, False)
    assert set(site.view().accepts) == set(accepts)
    assert site.plan() == accepts  # the plan stays the same once it is done

    opened = site.tables()
    for accept in accepts:
        site.apply(Add(accept))
    assert site.tables() == opened  # adding twice adds once

    for accept in accepts * 2:  # removing twice is success
        site.apply(Remove(accept))
    assert site.tables() == before
    assert site.passes() == (False, False)


def test_both_backends_at_once_are_both_opened(site: Site) -> None:
    close_all(site, "iptables-nft", docker=True)
    close_all(site, "iptables-legacy", docker=False)
    before = site.tables()
    accepts = site.open()
    assert [(a.firewall, a.chain, a.direction) for a in accepts] == [
        ("iptables", "DOCKER-USER", "in"),
        ("iptables", "DOCKER-USER", "out"),
        ("iptables-legacy", "FORWARD", "in"),
        ("iptables-legacy", "FORWARD", "out"),
    ]
    assert site.passes() == (True, False)
    for accept in accepts:
        site.apply(Remove(accept))
    assert site.tables() == before


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_last_reject_closes_as_a_policy_does(site: Site, backend: str) -> None:
    site.host.run(f"iptables-{backend}", "-A", "FORWARD", "-j", "REJECT")
    assert site.passes() == (False, False)
    site.open()
    assert site.passes() == (True, False)


def test_what_the_administrator_wrote_in_docker_user_still_decides(site: Site) -> None:
    close_all(site, "iptables-nft", docker=True)
    refusal = ("-p", "tcp", "--dport", "8081", "-j", "DROP")
    site.host.run("iptables-nft", "-I", "DOCKER-USER", *refusal)
    http_server(site.ours, 8080, "open")
    http_server(site.ours, 8081, "refused")
    site.open()
    answer = fetch(site.outside, "http://10.77.1.2:8080/")
    assert answer is not None
    assert answer["text"] == "open"
    assert fetch(site.outside, "http://10.77.1.2:8081/", timeout=1) is None


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("loss", ["rule", "chain", "table"])
def test_removing_what_somebody_flushed_is_success(site: Site, backend: str, loss: str) -> None:
    tool = f"iptables-{backend}"
    close_all(site, tool, docker=True)
    accepts = site.open()
    site.host.run(tool, "-F", "DOCKER-USER")
    if loss != "rule":
        site.host.run(tool, "-F")
        site.host.run(tool, "-X")
    if loss == "table" and backend == "nft":
        site.host.run("nft", "flush", "ruleset")
    before = site.tables()
    for accept in accepts:
        site.apply(Remove(accept))
    assert site.tables() == before


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_a_real_docker_engine_keeps_working_and_lets_our_bridge_pass(site: Site, bridge_nf: int) -> None:
    site.host.set_sysctl("net/ipv4/ip_forward", 0)  # Docker sets DROP where it switches forwarding on
    site.neighbour_on_our_bridge()
    with docker_engine(site.host) as docker:
        docker.run_container("web", "httpd", "-f", "-h", "/www", options=["-p", "8080:80"])
        docker.run_container("db")
        if site.host.has_bridge_nf:
            site.host.bridge_nf(bridge_nf)
        before = site.tables()
        assert site.passes() == (False, False)
        same_bridge_is_filtered = site.host.has_bridge_nf and bridge_nf == 1
        assert ping(site.ours, "10.77.1.3", timeout=0.5) is not same_bridge_is_filtered

        accepts = site.open()

        assert {accept.chain for accept in accepts} == {"DOCKER-USER"}
        assert site.passes() == (True, False)
        assert ping(site.ours, "10.77.1.3")
        assert docker.exec("db", "ping", "-c1", "-W1", str(site.outside.address)).returncode == 0
        published = f"http://{site.host.address}:8080/"
        assert curl(site.outside, published).returncode == 0
        for accept in accepts:
            site.apply(Remove(accept))
        assert site.tables() == before
        assert site.passes() == (False, False)


def test_adding_to_a_chain_that_is_gone_says_so(site: Site) -> None:
    close_all(site, "iptables-nft", docker=True)
    (accept, *_) = site.plan()
    for args in ("-F", "-X"):
        site.host.run("iptables-nft", args)
    with pytest.raises(KernelError, match=r"DOCKER-USER: .*No chain"):
        site.apply(Add(accept))


@pytest.mark.parametrize("last", ["policy", "rule"])
def test_a_plain_nft_chain_is_opened_for_our_bridge_alone(site: Site, last: str) -> None:
    policy, rule = (
        ("drop", "") if last == "policy" else ("accept", "counter reject with icmpx admin-prohibited")
    )
    site.host.run(
        "nft",
        "-f",
        "-",
        stdin="table inet filter { chain forward { type filter hook forward priority 0; "
        f'policy {policy}; iifname "nowhere" accept comment "theirs"\n {rule}\n }}; }}',
    )
    before = site.tables()
    assert site.passes() == (False, False)

    accepts = site.open()

    assert [(a.firewall, a.table, a.chain) for a in accepts] == [("nft", "inet filter", "forward")] * 2
    assert site.passes() == (True, False)
    assert site.passes(6) == (True, False)
    assert set(site.view().accepts) == set(accepts)
    opened = site.tables()
    assert opened.count(f'comment "ductwork:{TAG}"') == 2
    for accept in accepts:
        site.apply(Add(accept))
    assert site.tables() == opened
    for accept in accepts * 2:
        site.apply(Remove(accept))
    assert site.tables() == before
    assert site.ran == []  # no tool was needed for any of it
    site.host.run("nft", "delete", "table", "inet", "filter")
    site.apply(Remove(accepts[0]))


@pytest.mark.parametrize("name", ["br*", 'b"r}', "-j", "br\\"])
def test_strange_names_in_nft_mean_one_bridge_only(site: Site, name: str) -> None:
    site.host.run(
        "nft", "add table ip f; add chain ip f across { type filter hook forward priority 0; policy drop; }"
    )
    accepts = plan_foreign(site.view(), name, TAG, {4})
    for accept in accepts:
        site.apply(Add(accept))
    assert list(site.view().accepts) == accepts[::-1]  # each goes to the top
    text = site.host.run("nft", "--debug=netlink", "list", "chain", "ip", "f", "across").stdout
    # A whole name is compared with all 16 bytes, a beginning with fewer.
    assert len(re.findall(r"cmp eq reg 1 (0x\w{8} ){4}\]", text)) == 2
    for accept in accepts:
        site.apply(Remove(accept))
    assert site.view().accepts == ()


def test_a_hand_made_table_with_iptables_names_is_plain_nft(site: Site) -> None:
    site.host.run(
        "nft",
        "-f",
        "-",
        stdin="table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop;"
        " ct state established accept; fib daddr type local accept; }; }",
    )
    before = site.tables()
    accepts = site.open()
    assert {a.firewall for a in accepts} == {"nft"}
    assert site.passes() == (True, False)
    for accept in accepts:
        site.apply(Remove(accept))
    assert site.tables() == before


def test_an_owned_table_is_a_warning_with_the_remedy_and_refuses_in_words(site: Site) -> None:
    argv = site.host.command("nft", "-i")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as firewalld:
        assert firewalld.stdin is not None
        firewalld.stdin.write(OWNED)
        firewalld.stdin.flush()
        wait_until(lambda: any(chain.drops for chain in site.view().nft), "the owned table")
        assert site.plan() == []
        (warning,) = plan_warnings(site.view(), OURS, {4})
        assert warning.remedy.startswith(f"firewall-cmd --zone=trusted --add-interface={OURS}")
        accept = ForeignAccept(HOST, "nft", "inet firewalld", "filter_FORWARD", OURS, "in", TAG)
        with pytest.raises(FailedPrecondition, match="owns the table") as refused:
            site.apply(Add(accept))
        assert "--zone=trusted" in refused.value.hint

        firewalld.stdin.write(f"insert rule inet firewalld filter_FORWARD iifname {OURS} accept\n")
        firewalld.stdin.flush()
        wait_until(lambda: plan_warnings(site.view(), OURS, {4}) == [], "the owner's accept")
        firewalld.stdin.close()


def test_a_missing_tool_is_named_with_its_package(site: Site) -> None:
    close_all(site, "iptables-nft", docker=True)

    def without(argv: Sequence[str], stdin: str = "", /) -> tuple[int, str]:
        raise FileNotFoundError(argv[0])

    with pytest.raises(FailedPrecondition, match="not installed") as missing:
        observe_foreign(site.nft.base_chains(), without, site.nft.run, set)
    assert "package iptables" in missing.value.hint
