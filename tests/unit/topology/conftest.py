from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ductwork.engine.engine import Engine
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.fake import FakeKernel
from ductwork.model.host import Host
from ductwork.store.memory import MemoryStore

Engines = Callable[[], Engine]


def make_engine(folder: Path) -> Engine:
    """One host in memory; its kernel is `engine.kernel`."""
    host = Host.at(folder, "/run/netns/host")
    return Engine(host, FakeKernel("/run/netns/host"), MemoryStore(), None, ContainerEngines({}))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return make_engine(tmp_path)
