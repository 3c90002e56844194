"""What several of these tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import Engine
from tests.shop import open_shop, received, wait_for


@pytest.fixture
def shop(world: Any) -> Iterator[Any]:
    """A shop with an engine that judges at once; it has to end well."""
    open_shop(world, items=2)
    with Engine(world, reference_grace=0) as engine:
        world.send("inventory.warehouse", received(1, 1))
        world.flush()
        wait_for(world, 1, 1)
        yield world
        assert engine.stop() == 0, engine.text()
