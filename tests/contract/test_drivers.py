"""What every driver must do, whichever it is; a new one is in here as soon as it is in the registry."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.golden.test_plans import NETWORKS, attachment

from ductwork.drivers.base import Attachment
from ductwork.drivers.registry import DRIVERS, driver_of
from ductwork.errors import InvalidArgument
from ductwork.model.network import Network
from ductwork.model.objects import ALIAS_PREFIX, HOST, Bridge, KernelObject, Veth
from ductwork.plan.diff import diff, identity


def everything(network: Network) -> tuple[list[KernelObject], list[Attachment]]:
    driver = driver_of(network.driver)
    ends = [attachment(network, 1), attachment(network, 2)]
    attached = ends if driver.couples_endpoints else []
    plan = driver.plan_network(network, attached)
    for end in ends:
        plan += driver.plan_endpoint(network, end)
    return plan, ends


def test_every_driver_has_a_case() -> None:
    assert {network.driver for network in NETWORKS.values()} == set(DRIVERS)


@pytest.mark.parametrize("kind", DRIVERS)
class TestDescription:
    def test_it_says_who_it_is(self, kind: str) -> None:
        driver = DRIVERS[kind]
        assert driver.kind == kind == driver_of(kind).kind
        assert driver.summary and "\n" not in driver.summary
        assert driver.max_endpoints is None or driver.max_endpoints > 0
        assert isinstance(driver.option_help, Mapping) and all(driver.option_help.values())

    def test_unknown_options_are_refused_with_the_known_ones(self, kind: str) -> None:
        driver = DRIVERS[kind]
        network = Network("n", "n", kind, 1, options=(("no-such-option", "1"),))
        with pytest.raises(InvalidArgument, match=kind) as caught:
            driver.validate(network)
        assert "no-such-option" in caught.value.message
        assert all(option in caught.value.hint for option in driver.option_help or ("none",))

    def test_every_option_in_the_help_is_known(self, kind: str) -> None:
        driver = DRIVERS[kind]
        for option in driver.option_help:
            network = Network("n", "n", kind, 1, options=((option, "no such value!"),))
            try:
                driver.validate(network)
            except InvalidArgument as error:
                assert "has no option" not in error.message

    def test_a_bare_network_is_fine(self, kind: str) -> None:
        network = Network("n", "n", kind, 1)
        DRIVERS[kind].validate(network)
        assert all(isinstance(v, str) for v in DRIVERS[kind].describe(network).values())


def test_unknown_drivers_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument) as caught:
        driver_of("vlxan")
    assert "vlxan" in caught.value.message and all(kind in caught.value.hint for kind in DRIVERS)


@pytest.mark.parametrize("name", NETWORKS)
class TestPlans:
    def test_equal_input_gives_an_equal_plan(self, name: str) -> None:
        network = NETWORKS[name]
        before = copy.deepcopy(network)
        assert everything(network) == everything(copy.deepcopy(network))
        assert network == before

    def test_everything_is_on_the_host_or_in_the_endpoints_own_sandbox(self, name: str) -> None:
        network = NETWORKS[name]
        plan, ends = everything(network)
        allowed = {HOST, *(end.key for end in ends)}
        for item in plan:
            assert item.ns in allowed  # type: ignore[union-attr]
            assert not isinstance(item, Veth) or item.peer_ns in allowed
        for end in ends:
            for item in driver_of(network.driver).plan_endpoint(network, end):
                assert item.ns in {HOST, end.key}  # type: ignore[union-attr]

    def test_no_object_is_planned_twice(self, name: str) -> None:
        plan, _ = everything(NETWORKS[name])
        assert len({identity(item) for item in plan}) == len(plan)

    def test_links_carry_our_mark(self, name: str) -> None:
        plan, _ = everything(NETWORKS[name])
        links = [item for item in plan if isinstance(item, (Bridge, Veth))]
        assert all(link.alias.startswith(ALIAS_PREFIX) for link in links)
        assert all(len(link.name.encode()) <= 15 and link.mtu == NETWORKS[name].mtu for link in links)

    def test_two_networks_share_nothing(self, name: str) -> None:
        network = NETWORKS[name]
        if "bridge" in dict(network.options) or not driver_of(network.driver).uses_addresses:
            return
        twin = replace(network, id="n-2", slot=2, subnets=())
        plain = replace(network, subnets=())
        one = {identity(o) for o in driver_of(network.driver).plan_network(plain, [])}
        two = {identity(o) for o in driver_of(network.driver).plan_network(twin, [])}
        assert not one & two

    def test_an_mtu_or_internal_changes_in_place(self, name: str) -> None:
        """Links that carry traffic are changed, never made anew."""
        network = NETWORKS[name]
        before, _ = everything(network)
        after, _ = everything(replace(network, mtu=1400, internal=network.driver == "bridge"))
        links = {identity(o) for o in before if isinstance(o, (Bridge, Veth))}
        assert links == {identity(o) for o in after if isinstance(o, (Bridge, Veth))}
        for step in diff(before, after):
            target = getattr(step, "object", None)
            assert not isinstance(target, (Bridge, Veth)), step
