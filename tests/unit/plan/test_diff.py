"""From one set of objects to another and back: complete, and in an order that cuts nothing off."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from tests.unit.plan.objects import BOX, kernel_objects, worlds

from ductwork.model.objects import (
    HOST,
    Add,
    Address,
    Bridge,
    Change,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    Neighbour,
    NftElement,
    PinnedNamespace,
    Remove,
    Route,
    Step,
    Veth,
)
from ductwork.plan.describe import describe_object, describe_step
from ductwork.plan.diff import diff, identity, order_coming, order_going, order_key, undo

World = dict[tuple[object, ...], KernelObject]


def world(objects: Iterable[KernelObject]) -> World:
    return {identity(item): item for item in objects}


def cascade(state: World, gone: KernelObject) -> None:
    """Take away what the kernel takes away with a link or a namespace."""
    ends: set[tuple[str, int]] = set()
    match gone:
        case Veth():
            ends = {(gone.ns, gone.ifindex), (gone.peer_ns, gone.peer_ifindex)}
        case Bridge():
            ends = {(gone.ns, gone.ifindex)}
        case PinnedNamespace():
            for item in list(state.values()):
                if isinstance(item, (LinkUp, Address, Route, Neighbour)) and item.ns == gone.key:
                    del state[identity(item)]
    for item in list(state.values()):
        on_link = isinstance(item, (LinkUp, Address, Route, Neighbour, LoopbackGuard))
        if on_link and (item.ns, item.ifindex) in ends:  # type: ignore[union-attr]
            del state[identity(item)]


def apply(state: World, steps: Iterable[Step], *, strict: bool = True) -> World:
    after = dict(state)
    for step in steps:
        match step:
            case Add(item, tolerant):
                assert tolerant or not strict or identity(item) not in after
                after[identity(item)] = item
            case Change(old, new):
                assert not strict or after[identity(old)] == old
                after[identity(new)] = new
            case Remove(item):
                after.pop(identity(item), None)
                cascade(after, item)
    return after


def consistent(before: World, after: World) -> bool:
    """Say whether nothing of the new world hangs on what only the old one had."""
    rest = dict(after)
    for key, item in before.items():
        if key not in after:
            cascade(rest, item)
    return rest == after


@given(worlds, worlds)
def test_the_difference_leads_there(one: list[KernelObject], two: list[KernelObject]) -> None:
    before, after = world(one), world(two)
    if consistent(before, after):
        assert apply(before, diff(before.values(), after.values())) == after


@given(worlds)
def test_nothing_to_do_is_nothing(one: list[KernelObject]) -> None:
    assert diff(one, one) == []


@given(worlds, worlds)
def test_undo_leads_back(one: list[KernelObject], two: list[KernelObject]) -> None:
    before, after = world(one), world(two)
    steps = diff(before.values(), after.values())
    if consistent(before, after) and consistent(after, before):
        done = apply(before, steps)
        back = apply(done, undo(steps), strict=False)
        lost = {k: v for k, v in before.items() if k not in back}
        # What the kernel took away with a link is planned again by whoever planned the link.
        assert all(isinstance(v, (LinkUp, Address, Route, Neighbour, LoopbackGuard)) for v in lost.values())
        assert {**back, **lost} == before


@given(worlds)
def test_undoing_a_creation_is_exact_wherever_it_stopped(one: list[KernelObject]) -> None:
    steps = diff([], world(one).values())
    for done in range(len(steps) + 1):
        assert apply(apply({}, steps[:done]), undo(steps)) == {}


@given(worlds, worlds)
def test_tolerant_differences_repair_any_state(one: list[KernelObject], two: list[KernelObject]) -> None:
    """Recovery begins somewhere between two worlds and must end in one of them."""
    before, after = world(one), world(two)
    steps = diff(before.values(), after.values())
    wanted = diff(before.values(), after.values(), tolerant=True)
    if consistent(before, after):
        for done in range(len(steps) + 1):
            assert apply(apply(before, steps[:done]), wanted, strict=False) == after


@given(worlds)
def test_removal_is_the_reverse_of_creation(one: list[KernelObject]) -> None:
    items = list(world(one).values())
    created = [step.object for step in order_coming([Add(item) for item in items]) if isinstance(step, Add)]
    assert [order_key(i) for i in order_going(items)] == [order_key(i) for i in created][::-1]


@given(worlds, worlds)
def test_new_objects_come_before_old_ones_go(one: list[KernelObject], two: list[KernelObject]) -> None:
    kinds = [isinstance(step, Remove) for step in diff(one, two)]
    assert kinds == sorted(kinds)


@given(worlds)
def test_paths_before_traffic_and_traffic_goes_first(one: list[KernelObject]) -> None:
    coming = [step.object for step in diff([], one) if isinstance(step, Add)]
    going = [step.object for step in diff(one, []) if isinstance(step, Remove)]
    for order, reverse in ((coming, False), (going, True)):
        elements = [n for n, item in enumerate(order) if isinstance(item, NftElement)]
        links = [n for n, item in enumerate(order) if isinstance(item, (Bridge, Veth, PinnedNamespace))]
        if elements and links:
            assert max(elements) < min(links) if reverse else max(links) < min(elements)


@given(worlds)
def test_steps_of_one_sandbox_stay_together(one: list[KernelObject]) -> None:
    inside = [
        step.object.ns
        for step in diff([], one)
        if isinstance(step, Add)
        and isinstance(step.object, (LinkUp, Address, Route, Neighbour, LoopbackGuard))
    ]
    changes = sum(1 for a, b in pairwise(inside) if a != b)
    assert changes < max(1, len(set(inside)))


@given(kernel_objects)
def test_every_object_has_words(item: KernelObject) -> None:
    words = describe_object(item)
    assert words and "\n" not in words and type(item).__name__ not in words
    assert ("in sandbox/" in words) == (getattr(item, "ns", HOST) != HOST)
    assert [describe_step(s)[:2] for s in (Add(item), Change(item, item))] == ["+ ", "~ "]
    assert describe_step(Remove(item))[:2] in {"- ", "~ "}


def test_what_vanishes_with_its_link_is_not_removed_by_itself() -> None:
    pair = Veth(HOST, "v", 5, "ductwork:e", 1500, BOX, "eth0", 6, "02:00:00:00:00:01")  # type: ignore[arg-type]
    up = LinkUp(BOX, "eth0", 6)
    assert diff([pair, up], []) == [Remove(pair)]
    assert diff([pair, up], [pair]) == [Remove(up)]
