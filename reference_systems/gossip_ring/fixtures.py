"""The pytest fixture `gossip_ring`. Imports nothing heavy: it is loaded wherever the plugin is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_coordchaos import Cluster, Session

__all__ = ["gossip_ring"]

_DEFAULT_NODES = 5


@pytest.fixture
def gossip_ring(coordchaos: Session, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running group; `@pytest.mark.coordchaos(nodes=…)` says how many nodes, else five."""
    from reference_systems.gossip_ring.system import system

    with coordchaos.start(system(nodes=coordchaos.nodes_for(request, default=_DEFAULT_NODES))) as cluster:
        yield cluster
