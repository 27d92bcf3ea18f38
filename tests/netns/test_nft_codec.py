"""Our element codec against the real kernel and the real nft, for every set there is."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lab import Lab, Namespace
from tests.netns.nft_lab import SETS_ONLY, add_by_nft, enter_of, listed
from tests.unit.nft.strategies import TAME_IFNAMES, elements

from ductwork.kernel.nft import NftSocket
from ductwork.kernel.nft.elements import codec
from ductwork.model.nft_schema import SCHEMAS, SetSchema
from ductwork.model.objects import HOST, Add, NftElement, Remove

_REAL = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def space(machine_untouched: None) -> Iterator[Namespace]:
    with Lab() as lab:
        yield lab.namespace("nft")


@pytest.fixture(scope="module")
def nft(space: Namespace) -> Iterator[NftSocket]:
    socket = NftSocket(HOST, enter_of(space))
    socket.load(SETS_ONLY)
    yield socket
    socket.close()


def _some(schema: SetSchema, data: st.DataObject) -> list[NftElement]:
    """Draw a few elements that can live together: hash keys differ, intervals do not overlap."""
    most = 1 if schema.interval else 4
    drawn = data.draw(st.lists(elements(schema, TAME_IFNAMES), min_size=1, max_size=most))
    return list({element.key: element for element in drawn}.values())


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
@_REAL
@given(data=st.data())
def test_what_we_add_is_what_nft_lists_and_what_we_read(
    space: Namespace, nft: NftSocket, schema: SetSchema, data: st.DataObject
) -> None:
    wanted = _some(schema, data)
    nft.apply([Add(element) for element in wanted])
    try:
        assert set(nft.elements(schema.name)) == set(wanted)
        assert listed(space, schema.name) == set(wanted)
    finally:
        nft.apply([Remove(element) for element in wanted])
    assert nft.elements(schema.name) == []
    assert listed(space, schema.name) == set()


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
@_REAL
@given(data=st.data())
def test_what_nft_adds_is_what_we_read_and_bytes_are_the_same(
    space: Namespace, nft: NftSocket, schema: SetSchema, data: st.DataObject
) -> None:
    wanted = _some(schema, data)
    add_by_nft(space, wanted)
    try:
        assert set(nft.elements(schema.name)) == set(wanted)
        written = {codec(schema.name).wire(element) for element in wanted}
        assert set(nft._read(schema.name)) == written
    finally:
        nft.apply([Remove(element) for element in wanted])
    assert listed(space, schema.name) == set()
