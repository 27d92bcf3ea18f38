"""Reading what `iptables -S` prints, and what a chain does in the end."""

import pytest

from ductwork.kernel.iptables import parse_chains

DOCKER = """\
# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -s 10.0.0.0/8 -m comment --comment "the office -j DROP" -j DROP
-A DOCKER-USER -m comment --comment "it's ours" -j RETURN
"""

ENDINGS = [
    ("-P FORWARD ACCEPT", False),
    ("-P FORWARD DROP", True),
    ("-P FORWARD DROP\n-A FORWARD -j ACCEPT", False),
    ("-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited", True),
    ("-P FORWARD ACCEPT\n-A FORWARD -m comment --comment end -j DROP", True),
    ("-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j DROP", False),
    ("-P FORWARD ACCEPT\n-A FORWARD -m conntrack --ctstate INVALID -j DROP", False),
    ('-P FORWARD ACCEPT\n-A FORWARD -i eth0 -m comment --comment "-j" -j ACCEPT', False),
    ("-P FORWARD ACCEPT\n-N last\n-A FORWARD -j last\n-A last -j REJECT", True),
    ("-P FORWARD DROP\n-N last\n-A FORWARD -j last\n-A last -j ACCEPT", False),
    ("-P FORWARD ACCEPT\n-N last\n-A FORWARD -j last\n-A last -j RETURN\n-A last -j DROP", False),
    ("-P FORWARD ACCEPT\n-N a\n-A FORWARD -g a\n-A FORWARD -j DROP\n-A a -i x -j DROP", False),
    ("-P FORWARD ACCEPT\n-N a\n-A FORWARD -j a\n-A FORWARD -j DROP\n-A a -i x -j DROP", True),
    ("-P FORWARD ACCEPT\n-A FORWARD -j LOG\n-A FORWARD -j DROP", True),
    ("-P FORWARD ACCEPT\n-A FORWARD", False),
    ('-P FORWARD DROP\n-A FORWARD -i br"x -j ACCEPT', True),
]


@pytest.mark.parametrize(("text", "drops"), ENDINGS)
def test_what_nothing_matches_is_dropped_or_not(text: str, drops: bool) -> None:
    assert parse_chains(text).drops("FORWARD") is drops


def test_a_chain_that_calls_itself_ends() -> None:
    text = "-P FORWARD DROP\n-N a\n-N b\n-A FORWARD -j a\n-A a -j b\n-A b -j a"
    assert parse_chains(text).drops("FORWARD")


def test_docker_user_counts_when_every_packet_passes_it() -> None:
    assert parse_chains(DOCKER).passes("FORWARD", "DOCKER-USER")
    assert not parse_chains(DOCKER).passes("FORWARD", "DOCKER-USER-2")
    late = "-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DROP\n-A FORWARD -j DOCKER-USER"
    assert not parse_chains(late).passes("FORWARD", "DOCKER-USER")
    left_over = "-P FORWARD DROP\n-N DOCKER-USER"
    assert not parse_chains(left_over).passes("FORWARD", "DOCKER-USER")
    for_some = "-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -i eth0 -j DOCKER-USER"
    assert not parse_chains(for_some).passes("FORWARD", "DOCKER-USER")


def test_a_rule_of_ours_goes_after_the_administrators_and_before_the_return() -> None:
    chains = parse_chains(DOCKER)
    assert chains.place_before_end("DOCKER-USER") == 2
    assert parse_chains("-N DOCKER-USER").place_before_end("DOCKER-USER") == 1
    assert parse_chains("-N u\n-A u -i eth0 -j DROP").place_before_end("u") == 2
    assert parse_chains("-N u\n-A u -i eth0 -j DROP\n-A u -j DROP").place_before_end("u") == 2


def test_quoted_comments_are_one_word() -> None:
    (office, _) = parse_chains(DOCKER).rules["DOCKER-USER"]
    assert office.words[5] == "the office -j DROP"
    assert (office.target, office.unconditional) == ("DROP", False)
