"""The pytest fixture `payments_2pc`. Imports nothing heavy: it is loaded wherever the plugin is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_coordchaos import Cluster, Session

__all__ = ["payments_2pc"]

_DEFAULT_NODES = 3


@pytest.fixture
def payments_2pc(coordchaos: Session, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running payment service; `@pytest.mark.coordchaos(nodes=…)` says how many nodes, else three."""
    from reference_systems.payments_2pc.system import system

    with coordchaos.start(system(nodes=coordchaos.nodes_for(request, default=_DEFAULT_NODES))) as cluster:
        yield cluster
