"""What every store must do, run on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ductwork.errors import Internal, Unavailable
from ductwork.store.memory import MemoryStore
from ductwork.store.protocol import Delete, Entry, Put, Store, StoreConflict, prefix_end
from ductwork.store.sqlite import SqliteStore
from ductwork.store.staged import StagedStore

KINDS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _folder: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "state.db"),
}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = KINDS[request.param](tmp_path)
    yield store
    store.close()


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.revision() == 0
    assert store.get("network/1") is None
    assert store.scan("") == []


def test_what_was_put_is_found_with_its_revision(store: Store) -> None:
    assert store.commit([Put("a", b"1")]) == 1
    assert store.commit([Put("b", b"2"), Put("c", b"\0\xff")]) == 2
    assert store.get("a") == Entry("a", b"1", 1)
    assert store.get("c") == Entry("c", b"\0\xff", 2)
    assert store.revision() == 2


def test_an_empty_commit_makes_no_revision(store: Store) -> None:
    store.commit([Put("a", b"")])
    assert store.commit([]) == 1


def test_a_durable_commit_is_a_commit(store: Store) -> None:
    assert store.commit([Put("a", b"1")], durable=True) == 1
    assert store.commit([Put("b", b"1")]) == 2
    assert [e.key for e in store.scan("")] == ["a", "b"]


def test_scan_is_ordered_and_keeps_to_its_prefix(store: Store) -> None:
    keys = [
        "lease/n1/0a",
        "lease/n1/02",
        "lease/n10/01",
        "lease/n1",
        "lease0",
        "leas",
        "é/1",
        "\ud7ff1",
        "\ue0001",
        "\U0010ffff1",
    ]
    store.commit([Put(key, key.encode()) for key in keys])
    assert [e.key for e in store.scan("lease/n1/")] == ["lease/n1/02", "lease/n1/0a"]
    assert [e.key for e in store.scan("lease/")] == ["lease/n1", "lease/n1/02", "lease/n1/0a", "lease/n10/01"]
    assert [e.key for e in store.scan("\U0010ffff")] == ["\U0010ffff1"]
    assert [e.key for e in store.scan("\ud7ff")] == ["\ud7ff1"]
    assert [e.key for e in store.scan("")] == sorted(keys)


def test_delete_takes_away_and_gone_is_success(store: Store) -> None:
    store.commit([Put("a", b"1"), Put("b", b"1")])
    store.commit([Delete("a")])
    store.commit([Delete("a")])
    assert [e.key for e in store.scan("")] == ["b"]
    assert store.revision() == 3


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        (Put("a", b"x", expect=0), 0, 1),
        (Put("a", b"x", expect=2), 2, 1),
        (Put("new", b"x", expect=1), 1, 0),
        (Delete("a", expect=7), 7, 1),
        (Delete("new", expect=1), 1, 0),
    ],
)
def test_a_wrong_expectation_changes_nothing(
    store: Store, change: Put | Delete, expected: int, found: int
) -> None:
    store.commit([Put("a", b"1")])
    with pytest.raises(StoreConflict) as caught:
        store.commit([Put("other", b"x"), change, Delete("a") if change.key != "a" else Put("b", b"")])
    assert (caught.value.key, caught.value.expected, caught.value.found) == (change.key, expected, found)
    assert isinstance(caught.value, Unavailable)
    assert store.scan("") == [Entry("a", b"1", 1)]
    assert store.revision() == 1
    assert store.commit([Put("b", b"2")]) == 2, "the store must be usable after a conflict"


def test_a_right_expectation_commits(store: Store) -> None:
    store.commit([Put("a", b"1", expect=0)])
    store.commit([Put("a", b"2", expect=1), Put("b", b"", expect=0), Delete("none", expect=0)])
    store.commit([Delete("a", expect=2)])
    assert store.scan("") == [Entry("b", b"", 2)]


def test_a_key_named_twice_is_a_defect(store: Store) -> None:
    with pytest.raises(Internal, match="a is named twice"):
        store.commit([Put("a", b"1"), Delete("a")])
    assert store.revision() == 0


# Staged


def test_staged_reads_see_what_was_staged_and_the_store_does_not(store: Store) -> None:
    store.commit([Put("n/1", b"one"), Put("n/2", b"two")])
    staged = StagedStore(store)
    staged.put("n/3", b"three")
    staged.put("n/1", b"uno")
    staged.delete("n/2")
    staged.delete("n/9")
    assert staged.get("n/1") == Entry("n/1", b"uno", 1)
    assert staged.get("n/2") is None
    assert staged.scan("n/") == [Entry("n/1", b"uno", 1), Entry("n/3", b"three", 0)]
    assert [e.value for e in store.scan("n/")] == [b"one", b"two"]
    store.commit(staged.changes())
    assert [(e.key, e.value) for e in store.scan("")] == [("n/1", b"uno"), ("n/3", b"three")]


def test_staged_changes_are_only_what_differs(store: Store) -> None:
    store.commit([Put("a", b"1")])
    staged = StagedStore(store)
    staged.put("a", b"2")
    staged.put("a", b"1")
    staged.put("b", b"1")
    staged.delete("b")
    assert staged.changes() == []
    staged.delete("a")
    staged.put("0", b"")
    assert staged.changes() == [Put("0", b"", expect=0), Delete("a", expect=1)]


def test_staged_changes_fail_when_somebody_was_faster(store: Store) -> None:
    store.commit([Put("a", b"1")])
    staged = StagedStore(store)
    assert staged.scan("") == [Entry("a", b"1", 1)]
    staged.put("new", b"")
    store.commit([Put("a", b"theirs")])
    assert staged.scan("") == [Entry("a", b"1", 1), Entry("new", b"", 0)], "a plan keeps to what it saw first"
    staged.put("a", b"ours")
    with pytest.raises(StoreConflict):
        store.commit(staged.changes())
    assert store.get("new") is None


def test_a_staged_store_can_lie_over_another(store: Store) -> None:
    lower = StagedStore(store)
    lower.put("a", b"1")
    upper = StagedStore(lower)
    upper.put("b", b"2")
    assert [e.key for e in upper.scan("")] == ["a", "b"]


# All stores agree with a dictionary

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3) | st.sampled_from("abc")
CHANGES = st.lists(
    st.builds(Put, KEYS, st.binary(max_size=3), st.none() | st.integers(0, 3))
    | st.builds(Delete, KEYS, st.none() | st.integers(0, 3)),
    max_size=4,
    unique_by=lambda change: change.key,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(commits=st.lists(CHANGES, max_size=6), prefix=st.text(max_size=1).filter(lambda p: p.isprintable()))
def test_stores_agree_with_a_dictionary(
    kind: str, tmp_path_factory: pytest.TempPathFactory, commits: list[list[Put | Delete]], prefix: str
) -> None:
    store = KINDS[kind](tmp_path_factory.mktemp("store"))
    model: dict[str, Entry] = {}
    revision = 0
    for changes in commits:
        revisions = {key: entry.revision for key, entry in model.items()}
        fits = all(c.expect in {None, revisions.get(c.key, 0)} for c in changes)
        if not fits:
            with pytest.raises(StoreConflict):
                store.commit(changes)
            continue
        revision += bool(changes)
        for change in changes:
            if isinstance(change, Put):
                model[change.key] = Entry(change.key, change.value, revision)
            else:
                model.pop(change.key, None)
        assert store.commit(changes) == revision
    expected = [model[key] for key in sorted(model) if key.startswith(prefix)]
    assert store.scan(prefix) == expected
    assert StagedStore(store).scan(prefix) == expected
    store.close()


@given(prefix=st.text(st.characters(exclude_categories=["Cs"])), rest=st.text())
def test_the_end_of_a_prefix_is_above_all_that_begin_with_it(prefix: str, rest: str) -> None:
    end = prefix_end(prefix)
    assert end is None or (prefix + rest < end and not end.startswith(prefix))
    assert end is not None or not prefix.strip("\U0010ffff")
