"""Orders of events that random faults seldom meet; scripts that run beside the load."""

from __future__ import annotations

import random
from typing import Any

from pytest_coordchaos import Lose

__all__ = ["half_told"]

_COORDINATOR = "n1"
_TIMES = 2


async def half_told(cluster: Any, rng: random.Random) -> None:
    """The coordinator dies after some participants have heard of a commit and another has not."""
    for _ in range(_TIMES):
        await cluster.clock.sleep(0.5 + rng.random())
        deaf = cluster.nodes[-1 - int(rng.random() * (len(cluster.nodes) - 1))]
        lost = await cluster.apply(Lose(_COORDINATOR, deaf, rate=1.0, classes=frozenset({"commit"})))
        await cluster.clock.sleep(0.2 + 0.2 * rng.random())
        killed = await cluster.kill(_COORDINATOR)
        await lost.undo()
        await cluster.clock.sleep(0.2)
        await killed.undo()
