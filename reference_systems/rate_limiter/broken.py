"""Rate limiters with one bug each, picked by `options["mutant"]`. An entry of its own: the healthy one never looks at it."""

from __future__ import annotations

from typing import Any

from reference_systems.kit.env import Env
from reference_systems.rate_limiter.limiter import SlidingWindow
from reference_systems.rate_limiter.node import LimiterNode

__all__ = ["main"]

_PLANNED_NODES = 2
_WINDOW_S = 1.01
_PAUSE_S = 0.01


class Bucket(LimiterNode):
    """A token bucket as large as a second's rate: after a quiet time a second admits twice the limit."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._buckets: dict[str, tuple[float, float]] = {}

    async def take(self, who: str, key: str, limit: int) -> dict[str, Any]:
        """Refill by the time that went by, then take one token."""
        now_s = self.now_s()
        tokens, since_s = self._buckets.get(key, (float(limit), now_s))
        tokens = min(float(limit), tokens + (now_s - since_s) * limit)
        self._buckets[key] = (tokens - (tokens >= 1), now_s)
        return {"status": "ok", "value": tokens >= 1}


class OwnShare(LimiterNode):
    """Each node admits its share by itself: a busy one denies although the others are idle."""

    async def acquire(self, key: str, limit: int, operations: tuple[int, ...]) -> dict[str, Any]:
        """Asks nobody."""
        return await self.take(f"{operations}", key, limit // self.sharing())

    def sharing(self) -> int:
        """How many share the limit."""
        return len(self._env.nodes)


class StaticNodes(OwnShare):
    """The number of nodes was written down once: more nodes, and the limit is another."""

    def sharing(self) -> int:
        """As many as there were."""
        return _PLANNED_NODES


class WallClock(LimiterNode):
    """Counts by the wall clock: when it is set back admissions seem to lie ahead, when it is set forward all are forgotten."""

    def now_s(self) -> float:
        """Seconds since 1970, as the node believes."""
        return self._env.clock.wall()


class Unlocked(LimiterNode):
    """Looks whether there is room, then waits, then takes it: two can find the same last place."""

    async def take(self, who: str, key: str, limit: int) -> dict[str, Any]:
        """Room is looked for in one step, and taken in another."""
        window = self._windows.setdefault(key, SlidingWindow(_WINDOW_S))
        room = window.has_room(limit, self.now_s())
        await self._env.clock.sleep(_PAUSE_S)
        if room:
            window.admit(self.now_s())
        return {"status": "ok", "value": room}


async def main(env: Env) -> None:
    """The healthy `main`, with another class."""
    kinds = (Bucket, OwnShare, StaticNodes, WallClock, Unlocked)
    (broken,) = (kind for kind in kinds if kind.__name__ == env.options["mutant"])
    await broken(env).run()
