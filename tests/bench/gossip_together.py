"""Members whose periods begin at the same moments, where a benchmark can look into them. For simulations: one process."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.simulation.world import Model, World
from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.messages import State
from reference_systems.gossip_ring.node import GossipNode
from reference_systems.gossip_ring.swim import Swim
from reference_systems.gossip_ring.system import system
from reference_systems.kit.env import Env

__all__ = ["main", "periods_to_first_probe", "simulated"]

_MEMBERS: dict[str, Swim] = {}


class _Together(GossipNode):
    def make_swim(self, swim: type[Swim] = Swim) -> Swim:
        member = super().make_swim(swim)
        member._next_period = (math.floor(self.now() / self.config.period_s) + 1) * self.config.period_s
        _MEMBERS[self.env.name] = member
        return member


async def main(env: Env) -> None:
    """As `gossip_ring.node.main`."""
    await _Together(env, Config.of(env.options)).run()


@contextmanager
def simulated() -> Iterator[None]:
    """Simulations are possible inside."""
    patches.install()
    fences.install()
    try:
        yield
    finally:
        fences.uninstall()
        patches.uninstall()


def periods_to_first_probe(n: int, seed: int) -> int:
    """Crash one in the middle of a period, after a drawn number of them: in which one is it first probed?

    What is seen is the suspicion, a period after the probe.
    """
    period_s = Config().period_s
    world = World(replace(system(n), entry=f"{__name__}:main"), seed, model=Model.unit())

    async def story() -> int:
        cluster = await world.start()
        await world.clock.sleep(_until(world, 20 + random.Random(seed).randrange(2 * n), period_s))
        assert all(len(member.members.present()) == n for member in _MEMBERS.values())
        await cluster.kill("n1")
        crashed_s = world.clock.now_ns() / 1e9
        while not (suspected_s := _first_suspicion_s("n1", crashed_s)):
            await world.clock.sleep(period_s)
        return round((suspected_s - crashed_s) / period_s - 0.5)

    try:
        return world.run(story())
    finally:
        world.close()
        _MEMBERS.clear()


def _until(world: World, periods: int, period_s: float) -> float:
    """Seconds to the middle of the period that comes after so many."""
    now_s = world.clock.now_ns() / 1e9
    return (math.floor(now_s / period_s) + periods + 0.5) * period_s - now_s


def _first_suspicion_s(name: str, since_s: float) -> float | None:
    events = (event for member in _MEMBERS.values() if member.name != name for event in member.members.events)
    times = [
        event.at for event in events if event.update.name == name and event.update.state is State.SUSPECT and event.at > since_s
    ]
    return min(times, default=None)
