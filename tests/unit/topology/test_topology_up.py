"""Up, edited files, failures and down, on a kernel in memory."""

from __future__ import annotations

import errno
from pathlib import Path
from textwrap import dedent

import pytest
from tests.unit.topology.conftest import make_engine

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.engine import Engine
from ductwork.engine.sandboxes import SandboxSpec
from ductwork.errors import Conflict, DuctworkError, FailedPrecondition, NotFound
from ductwork.frontends.topology_file import parse_topology
from ductwork.kernel.fake import FakeKernel
from ductwork.kernel.ports import Listener
from ductwork.model.addresses import parse_address
from ductwork.model.network import NetworkSpec
from ductwork.model.objects import Add, Address, Bridge, Change, NftElement, PinnedNamespace, Remove, Veth
from ductwork.model.topology import Topology

BASE = """
name: lab
networks:
  front: {subnets: [10.1.0.0/24], labels: {a: b}}
  back: {subnets: [10.2.0.0/24], mtu: 1400}
sandboxes:
  web:
    networks: {front: {ip: 10.1.0.10, aliases: [www]}, back: }
    ports: ["8080:80"]
    links: ["db:database"]
  db:
    networks: [back]
"""


def lab(text: str = BASE) -> Topology:
    return parse_topology(dedent(text))


def edited(old: str, new: str) -> Topology:
    assert BASE.count(old) == 1
    return lab(BASE.replace(old, new))


def fake(engine: Engine) -> FakeKernel:
    assert isinstance(engine.kernel, FakeKernel)
    return engine.kernel


def lines(engine: Engine, topology: Topology) -> list[str]:
    """What diff says, which must be what up does, and nothing is left to do then."""
    said = engine.diff(topology)
    done = engine.up(topology)
    assert said.actions == done.actions
    assert engine.diff(topology).actions == ()
    return [action.line for action in done.actions]


def test_up_makes_everything_in_the_order_of_the_file(engine: Engine) -> None:
    assert lines(engine, lab()) == [
        "+ network front: bridge",
        "+ network back: bridge",
        "+ sandbox web",
        "+ sandbox db",
        "+ endpoint web on front: 10.1.0.10",
        "+ endpoint web on back",
        "+ endpoint db on back",
        "+ port web 8080:80/tcp on back",
        "+ link web knows db as database",
    ]
    state = engine.state()
    web = state.find_sandbox("web")
    assert web is not None and web.topology == "lab"
    assert [e.container_ifname for e in state.endpoints_in(web.id)] == ["eth0", "eth1"]
    assert {n.topology for n in engine.networks()} == {"lab"}


def test_up_twice_changes_nothing(engine: Engine) -> None:
    engine.up(lab())
    begun = fake(engine).steps
    assert engine.up(lab()).actions == ()
    assert engine.report.steps == [] and fake(engine).steps == begun


EDITS = [
    ("labels: {a: b}", "labels: {a: c}", ["~ network front: label a=c"], set()),
    (", labels: {a: b}", "", ["~ network front: no label a"], set()),
    ("mtu: 1400", "mtu: 1300", ["~ network back: mtu 1400 → 1300"], {("~", Bridge), ("~", Veth)}),
    (
        "labels: {a: b}",
        "labels: {a: b}, options: {isolation: strict}",
        ["~ network front: option isolation=strict"],
        {("+", NftElement)},
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0/24, fd01::/64",
        ["~ network front: subnet fd01::/64"],
        {("~", Bridge), ("~", Veth), ("+", Address)},
    ),
    (
        "labels: {a: b}",
        "labels: {a: b}, ipv6: true",
        ["~ network front: an IPv6 subnet"],
        {("~", Bridge), ("~", Veth), ("+", Address)},
    ),
    (
        "[10.1.0.0/24]",
        "[{subnet: 10.1.0.0/24, reserved: [10.1.0.99]}]",
        ["~ network front: limits of 10.1.0.0/24"],
        set(),
    ),
    ("[www]", "[www, shop]", ["~ endpoint web on front: aliases www shop"], set()),
    (
        "aliases: [www]",
        "aliases: [www], gateway_priority: 1",
        ["- port web", "~ endpoint web on front: gateway_priority 0 → 1", "+ port web"],
        None,
    ),
    (
        '["8080:80"]',
        '["8080:80", "8443:443"]',
        ["+ port web 8443:443/tcp on back"],
        {("+", NftElement)},
    ),
    ('["8080:80"]', "[]", ["- port web 8080:80/tcp on back"], {("-", NftElement), ("~", Veth)}),
    (
        '["8080:80"]',
        '["8081:80"]',
        ["- port web 8080:80/tcp on back", "+ port web 8081:80/tcp on back"],
        {("-", NftElement), ("+", NftElement), ("~", Veth)},
    ),
    (
        "db:database",
        "db:store",
        ["- link web knows db as database", "+ link web knows db as store"],
        set(),
    ),
    (
        "10.1.0.10",
        "10.1.0.11",
        ["- endpoint web on front: address 10.1.0.10 → 10.1.0.11", "+ endpoint web on front: 10.1.0.11"],
        {("-", Veth), ("+", Veth), ("+", Address)},
    ),
    (
        "back: }",
        "back: {ifname: lan0}}",
        ["- endpoint web on back: ifname eth1 → lan0", "+ endpoint web on back", "+ port"],
        None,
    ),
    (
        "db:\n    networks: [back]",
        "db:\n    networks: [back, front]",
        ["+ endpoint db on front"],
        {("+", Veth), ("+", Address)},
    ),
]


@pytest.mark.parametrize(("old", "new", "said", "kinds"), EDITS, ids=[e[1][:40] for e in EDITS])
def test_an_edit_changes_only_what_differs(
    engine: Engine, old: str, new: str, said: list[str], kinds: set[tuple[str, type]] | None
) -> None:
    engine.up(lab())
    done = lines(engine, edited(old, new))
    assert len(done) == len(said)
    assert all(line.startswith(start) for line, start in zip(done, said, strict=True)), done
    if kinds is not None:
        engine.up(lab())
        engine.up(edited(old, new))
        wanted = {Bridge, Veth, NftElement, Address, PinnedNamespace}
        assert {k for k in map(kind_of, engine.report.steps) if k[1] in wanted} >= kinds
        assert not {k for k in map(kind_of, engine.report.steps) if k[1] is PinnedNamespace}
    engine.down("lab")
    assert engine.networks() == [] and engine.sandboxes() == []


def kind_of(step: Add | Remove | Change) -> tuple[str, type]:
    match step:
        case Add(item):
            return "+", type(item)
        case Remove(item):
            return "-", type(item)
        case Change(_, item):
            return "~", type(item)


REBUILDS = [
    ("{subnets: [10.2.0.0/24], mtu: 1400}", "{driver: none}", {"web on back", "db on back"}),
    ("[10.1.0.0/24]", "[10.9.0.0/24]", set()),
    ("[10.1.0.0/24]", "[{subnet: 10.1.0.0/24, gateway: 10.1.0.254}]", {"web on front"}),
    ("labels: {a: b}", "options: {bridge: br7}", {"web on front"}),
]


@pytest.mark.parametrize(("old", "new", "connections"), REBUILDS, ids=[e[1] for e in REBUILDS])
def test_a_network_is_made_anew_with_its_connections_alone(
    engine: Engine, old: str, new: str, connections: set[str]
) -> None:
    engine.up(lab())
    before = {s.name: s.id for s in engine.sandboxes()}
    text = (
        BASE.replace(old, new).replace("    ports:", "    # ").replace("{ip: 10.1.0.10, aliases: [www]}", "")
    )
    done = lines(engine, lab(text))
    assert {s.name: s.id for s in engine.sandboxes()} == before
    again = {line[len("+ endpoint ") :].split(":")[0] for line in done if line.startswith("+ endpoint")}
    assert again >= connections and len(again) <= 2


def test_a_dropped_sandbox_and_network_go(engine: Engine) -> None:
    engine.up(lab())
    text = "name: lab\nnetworks: {front: {subnets: [10.1.0.0/24]}}\nsandboxes: {web: {networks: [front]}}"
    done = lines(engine, lab(text))
    assert "- sandbox db" in done and "- network back" in done
    assert [s.name for s in engine.sandboxes()] == ["web"]


def test_a_sandbox_changes_its_mode(engine: Engine) -> None:
    engine.up(lab())
    text = BASE.replace("db:\n    networks: [back]", "db:\n    mode: container:web")
    shared = lab(text.replace("    links", "    # "))
    assert "- sandbox db: mode becomes container:web" in lines(engine, shared)
    assert "- sandbox db: mode becomes a stack of its own" in lines(engine, lab())


def test_a_namespace_that_somebody_deleted_is_made_again(engine: Engine) -> None:
    engine.up(lab())
    path = next(s.target for s in engine.sandboxes() if s.name == "db")
    engine.kernel.release()
    fake(engine).forget_namespace(path)
    assert "- sandbox db: its namespace is gone" in lines(engine, lab())
    assert path in fake(engine).namespace_paths(str(engine.host.netns_dir))


def test_what_was_asked_for_is_not_given_to_somebody_else(engine: Engine) -> None:
    """Addresses, interface names, host ports and subnets that stand further down in the file."""
    topology = lab(
        """
        name: lab
        networks:
          one: {}
          two: {subnets: [172.16.0.0/12]}
          three: {subnets: [10.3.0.0/24]}
        sandboxes:
          a: {networks: [three, one], ports: ["9000-9005:80", "81"]}
          b: {networks: {three: , one: {ifname: eth0}}, ports: ["9000:80"]}
          c: {networks: {three: {ip: 10.3.0.2}}, ports: [32768:80]}
        """
    )
    lines(engine, topology)
    state = engine.state()
    ports = {str(p.mapping) for p in state.ports()}
    assert {"9000:80/tcp", "9001:80/tcp", "32768:80/tcp"} <= ports
    b = state.find_sandbox("b")
    assert b is not None
    assert [e.container_ifname for e in state.endpoints_in(b.id)] == ["eth1", "eth0"]


def test_an_address_given_earlier_is_taken_from_its_holder(engine: Engine) -> None:
    text = """
        name: lab
        networks: {n: {subnets: [10.3.0.0/24]}}
        sandboxes: {a: {networks: [n]}, b: {networks: %s}}
        """
    engine.up(lab(text % "[n]"))
    done = lines(engine, lab(text % "{n: {ip: 10.3.0.2}}"))
    assert "- endpoint a on n: b asks for its address 10.3.0.2" in done


@pytest.mark.parametrize("n", range(1, 40))
def test_a_failed_first_up_leaves_nothing(engine: Engine, n: int) -> None:
    before = fake(engine).snapshot()
    fake(engine).fail_at(n, errno.ENOMEM)
    try:
        engine.up(lab())
    except DuctworkError:
        assert fake(engine).snapshot() == before
        assert engine.networks() == [] and engine.sandboxes() == []
    fake(engine).faults.reset()
    engine.up(lab())
    engine.down("lab")
    assert fake(engine).snapshot() == before


def test_what_would_be_refused_is_refused_before_anything_goes(engine: Engine) -> None:
    engine.up(lab())
    before = fake(engine).snapshot()
    fake(engine).host.listeners.append(Listener("tcp", parse_address("0.0.0.0"), 8081, "nginx (pid 7)"))
    before = fake(engine).snapshot()
    with pytest.raises(Conflict, match=r"sandboxes\.web\.ports\[0\]: port 8081/tcp is taken by nginx"):
        engine.up(edited('["8080:80"]', '["8081:80"]'))
    assert fake(engine).snapshot() == before
    assert engine.diff(lab()).actions == ()


def test_a_rebuild_is_rehearsed_in_spite_of_what_still_stands(engine: Engine) -> None:
    """The same subnet, bridge name and interface name come back in the same up."""
    text = """
        name: lab
        networks:
          n: {subnets: [{subnet: 10.1.0.0/24, gateway: 10.1.0.GW}], options: {bridge: br5}}
        sandboxes: {a: {networks: {n: {ifname: lan}}}}
        """
    engine.up(lab(text.replace("GW", "1")))
    assert "- network n: gateway 10.1.0.1 → 10.1.0.2" in lines(engine, lab(text.replace("GW", "2")))


def test_down_restores_the_host_and_twice_is_success(engine: Engine) -> None:
    before = fake(engine).snapshot()
    engine.up(lab())
    assert engine.down("lab").actions
    assert fake(engine).snapshot() == before
    assert engine.down("lab").actions == ()


def test_down_takes_only_what_the_topology_made(engine: Engine) -> None:
    fake(engine).create_namespace("/run/netns/guest")
    engine.create_network(NetworkSpec("lan"))
    engine.connect("lan", "netns:guest")
    text = """
        name: lab
        networks: {lan: {external: true}, front: {}}
        sandboxes:
          g: {target: "netns:guest", networks: [front], ports: ["80:80"]}
          own: {networks: [lan]}
        """
    before = fake(engine).namespace("/run/netns/guest").snapshot()
    lines(engine, lab(text))
    engine.create_sandbox(SandboxSpec("mine"))
    engine.connect("front", "mine")
    engine.down("lab")
    assert engine.report.notes == ["network front is kept: mine is on it by hand"]
    assert [n.name for n in engine.networks()] == ["front", "lan"]
    assert [s.name for s in engine.sandboxes()] == ["mine", "netns:guest"]
    assert fake(engine).namespace("/run/netns/guest").snapshot() == before
    assert engine.diff(Topology("lab")).actions == ()
    engine.disconnect("front", "mine")
    engine.down("lab")
    assert [n.name for n in engine.networks()] == ["lan"]


def test_what_was_made_by_hand_stays(engine: Engine) -> None:
    engine.up(lab())
    engine.create_network(NetworkSpec("mine"))
    engine.connect("mine", "db", ConnectSpec(aliases=("x",)))
    engine.link("db", "web", "www")
    assert engine.up(lab()).actions == ()
    engine.down("lab")
    assert [n.name for n in engine.networks()] == ["mine"]


def test_what_was_made_by_hand_becomes_the_topologys_when_written_down(engine: Engine) -> None:
    engine.up(edited("back: }", "}"))
    engine.connect("back", "web")
    done = lines(engine, lab())
    assert "~ endpoint web on back: made by hand, the topology's from now on" in done


def test_names_of_others_are_refused(engine: Engine) -> None:
    engine.create_network(NetworkSpec("front"))
    with pytest.raises(Conflict, match=r"networks\.front: a network of this name"):
        engine.up(lab())
    engine.remove_networks(["front"])
    engine.create_sandbox(SandboxSpec("db"))
    with pytest.raises(Conflict, match=r"sandboxes\.db: a sandbox of this name"):
        engine.up(lab())
    engine.remove_sandboxes(["db"])
    engine.up(lab())
    with pytest.raises(Conflict, match="belongs to topology lab"):
        engine.up(lab(BASE.replace("name: lab", "name: other")))


def test_what_does_not_fit_the_host(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"networks\.lan: it is external and does not exist"):
        engine.up(lab("name: lab\nnetworks: {lan: {external: true}}"))
    with pytest.raises(FailedPrecondition, match=r"sandboxes\.a\.ports\[0\]: no network of a can publish"):
        engine.up(
            lab("name: l\nnetworks: {n: {internal: true}}\nsandboxes: {a: {networks: [n], ports: [80]}}")
        )
    with pytest.raises(NotFound, match=r"sandboxes\.a: "):
        engine.up(lab("name: l\nsandboxes: {a: {target: 'netns:nobody'}}"))
    with pytest.raises(DuctworkError, match=r"networks\.n: driver bridge has no option 'color'"):
        engine.diff(lab("name: l\nnetworks: {n: {options: {color: red}}}"))
    assert engine.networks() == []


def test_a_plan_shows_the_steps_and_does_nothing(tmp_path: Path, engine: Engine) -> None:
    engine.up(lab())
    other = edited("10.1.0.10", "10.1.0.11")
    engine.plan_only = True
    before = fake(engine).snapshot()
    engine.up(other)
    planned = engine.report.lines()
    assert fake(engine).snapshot() == before
    assert any(line.startswith("- link") for line in planned) and any("10.1.0.11" in line for line in planned)
    fresh = make_engine(tmp_path / "fresh")
    fresh.plan_only = True
    fresh.up(lab())
    assert len(fresh.report.steps) > 20 and fake(fresh).steps == 0
