"""A sandbox's lines in /etc/hosts: itself on each network, and the sandboxes it is linked to.

Only these, as Docker does it: listing everybody would make each connect cost as much as there are endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ductwork.model.addresses import IPInterface
from ductwork.model.endpoint import Endpoint, Link


def plan_hosts_lines(
    hostname: str,
    endpoints: Sequence[Endpoint],
    linked: Iterable[tuple[Link, str, Sequence[Endpoint]]],
) -> list[str]:
    """Write the lines, sorted by what they are about so that equal input gives an equal file.

    Args:
        linked: for each link the other sandbox's bare name and endpoints. Where both share a network the
            address on that network counts, otherwise all of the other's addresses.
    """
    lines = [_line(ip, [hostname, *e.aliases]) for e in endpoints for ip in e.addresses]
    shared = {e.network_id for e in endpoints}
    for link, name, others in sorted(linked, key=lambda entry: entry[0].alias):
        near = [e for e in others if e.network_id in shared] or list(others)
        lines += [_line(ip, [link.alias, name]) for e in near for ip in e.addresses]
    return lines


def _line(address: IPInterface, words: Sequence[str]) -> str:
    return f"{address.ip}\t{' '.join(dict.fromkeys(words))}"
