from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.engine.world import Picture, World, Worlds, differences


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Worlds]:
    """Make fresh hosts; identities begin anew with each."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda: World(tmp_path, patch)


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds()


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    if op == "==" and isinstance(left, Picture) and isinstance(right, Picture):
        return ["two pictures of a host differ:", *differences(left, right)]
    return None
