"""The chain with one bug each, picked by `options["mutant"]`. An entry of its own: the healthy one never looks at it."""

from __future__ import annotations

from typing import Any

from reference_systems.kit.env import Env
from reference_systems.kit.storage import RecordLog
from reference_systems.skeleton.node import ChainNode

__all__ = ["main"]


class Hasty(ChainNode):
    """Answers before the rest of the chain has the write."""

    async def pass_on(self, number: int, key: str, value: Any, operations: tuple[int, ...]) -> bool:
        """Some time."""
        self._env.spawn(self._later(number, key, value, operations))
        return True

    async def _later(self, number: int, key: str, value: Any, operations: tuple[int, ...]) -> None:
        await super().pass_on(number, key, value, operations)


class Forgetful(ChainNode):
    """Does not force its writes."""

    async def force(self) -> None:
        """Leaves it to the page cache."""


class Talkative(ChainNode):
    """Passes every write on twice."""

    async def pass_on(self, number: int, key: str, value: Any, operations: tuple[int, ...]) -> bool:
        """And again."""
        await super().pass_on(number, key, value, operations)
        return await super().pass_on(number, key, value, operations)


async def main(env: Env) -> None:
    """The healthy `main`, with another class."""
    (broken,) = (kind for kind in (Hasty, Forgetful, Talkative) if kind.__name__.lower() == env.options["mutant"])
    await broken(env, *await RecordLog.open(env.disk, "log")).run()
