"""The rules and plans as text: a change of what reaches the kernel shows as a change of these files.

DUCTWORK_GOLDEN=write writes them anew.
"""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from ductwork.drivers.base import Attachment
from ductwork.drivers.registry import driver_of
from ductwork.model.endpoint import Endpoint, StaticRoute
from ductwork.model.names import Mac
from ductwork.model.network import Network, Subnet
from ductwork.model.objects import Add, KernelObject, NsKey
from ductwork.plan.describe import describe_object
from ductwork.plan.diff import order_coming
from ductwork.plan.ruleset import render_ruleset

HERE = Path(__file__).parent / "plans"

V4 = Subnet(ip_network("10.1.0.0/24"), ip_address("10.1.0.1"))
V6 = Subnet(ip_network("fd00:1::/64"), ip_address("fd00:1::1"))
BRIDGE = Network("n-1", "front", "bridge", 1, (V4,))
NETWORKS = {
    "bridge-v4": BRIDGE,
    "bridge-v6": replace(BRIDGE, subnets=(V6,), ipv6=True),
    "bridge-dual": replace(BRIDGE, subnets=(V4, V6), ipv6=True, mtu=9000),
    "bridge-internal": replace(BRIDGE, internal=True),
    "bridge-nat-off": replace(BRIDGE, options=(("nat", "off"),)),
    "bridge-nat-source": replace(
        BRIDGE, subnets=(V4, V6), options=(("nat-source", "192.0.2.1,2001:db8::1"),)
    ),
    "bridge-strict": replace(BRIDGE, options=(("isolation", "strict"),)),
    "bridge-open": replace(BRIDGE, options=(("isolation", "off"),)),
    "bridge-named": replace(BRIDGE, options=(("bridge", "br-front"),)),
    "link": replace(BRIDGE, driver="link", subnets=(replace(V4, gateway=None), replace(V6, gateway=None))),
    "host": replace(BRIDGE, driver="host", subnets=()),
    "none": replace(BRIDGE, driver="none", subnets=()),
}


def attachment(network: Network, number: int) -> Attachment:
    """Make an endpoint with a place in each of the network's subnets; the first one publishes a port."""
    addresses = tuple(
        ip_interface(f"{s.cidr.network_address + 1 + number}/{s.cidr.prefixlen}") for s in network.subnets
    )
    endpoint = Endpoint(
        id=f"e-{number}",
        network_id=network.id,
        sandbox_id=f"s-{number}",
        slot=number + 1,
        order=0,
        host_ifname=f"dv-{number}",
        container_ifname="eth0",
        mac=Mac(f"02:00:00:00:00:0{number}"),
        addresses=addresses,
        routes=(StaticRoute(ip_network("10.99.0.0/16")),) if number == 2 else (),
        port_count=1 if number == 1 else 0,
    )
    return Attachment(endpoint, NsKey(f"sandbox/s-{number}"))


def check(name: str, got: str) -> None:
    file = HERE / name
    if os.environ.get("DUCTWORK_GOLDEN") == "write":
        file.write_text(got, encoding="utf-8")
    assert got == file.read_text(encoding="utf-8"), "run ./dev golden and look at the difference"


def written(objects: list[KernelObject]) -> str:
    return "".join(f"{describe_object(step.object)}\n" for step in order_coming([Add(o) for o in objects]))  # type: ignore[union-attr]


def test_ruleset() -> None:
    check("ruleset.nft", render_ruleset("0c2f1d9e"))


@pytest.mark.parametrize("name", NETWORKS)
def test_driver(name: str) -> None:
    network = NETWORKS[name]
    driver = driver_of(network.driver)
    driver.validate(network)
    ends = [attachment(network, 1), attachment(network, 2)]
    attached = ends if driver.couples_endpoints else []
    text = f"# network\n{written(driver.plan_network(network, attached))}"
    for number, end in enumerate(ends, 1):
        text += f"\n# endpoint {number}\n{written(driver.plan_endpoint(network, end))}"
    check(f"{name}.txt", text)
