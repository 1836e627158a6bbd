"""Faults in an order of their own, for what drawn plans seldom or never do: verbs beside the load, in the run's time."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from pytest_coordchaos import Cut, Jump, Slow

__all__ = ["Script", "crash_after_clock_steps", "crash_on_slow_links", "crashes", "cut_one_way"]

Script = Callable[[Any, random.Random], Coroutine[Any, Any, None]]


def crashes(*, times: int, down_s: float, up_s: float) -> Script:
    """One node is killed and comes back after `down_s`, again and again; before and after that `up_s` without trouble.

    It is one node, because who is killed forgets what it saw.
    """

    async def script(cluster: Any, rng: random.Random) -> None:
        victim = cluster.nodes[int(rng.random() * len(cluster.nodes))]
        for _ in range(times):
            await cluster.clock.sleep(up_s * (0.75 + 0.25 * rng.random()))
            fault = await cluster.kill(victim)
            await cluster.clock.sleep(down_s)
            await fault.undo()
        await cluster.clock.sleep(up_s)

    return script


def cut_one_way(*, for_s: float, after_s: float = 1.0) -> Script:
    """What one node sends to one other is lost; both can talk to everybody else."""

    async def script(cluster: Any, rng: random.Random) -> None:
        await cluster.clock.sleep(after_s)
        one = int(rng.random() * len(cluster.nodes))
        other = (one + 1 + int(rng.random() * (len(cluster.nodes) - 1))) % len(cluster.nodes)
        fault = await cluster.apply(Cut(cluster.nodes[one], cluster.nodes[other]))
        await cluster.clock.sleep(for_s)
        await fault.undo()

    return script


def crash_on_slow_links(*, one_way_ms: float, down_s: float, up_s: float) -> Script:
    """A node is killed while acknowledgements take longer than a period."""

    async def script(cluster: Any, rng: random.Random) -> None:
        nodes = cluster.nodes
        slow = [await cluster.apply(Slow(one, other, one_way_ms)) for one in nodes for other in nodes if one != other]
        await crashes(times=1, down_s=down_s, up_s=up_s)(cluster, rng)
        for fault in slow:
            await fault.undo()

    return script


def crash_after_clock_steps(*, step_s: float, down_s: float, up_s: float) -> Script:
    """All wall clocks jump ahead, and are set right; then a node is killed."""

    async def script(cluster: Any, rng: random.Random) -> None:
        await cluster.clock.sleep(up_s)
        steps = [await cluster.apply(Jump(node, step_s)) for node in cluster.nodes]
        await cluster.clock.sleep(up_s)
        for step in steps:
            await step.undo()
        await crashes(times=1, down_s=down_s, up_s=up_s)(cluster, rng)

    return script
