"""Tasks and futures that hash by a number that counts, tasks in the order in which they were made.

asyncio keeps tasks in sets (`TaskGroup`, `asyncio.wait`, `all_tasks`), and a set's order follows the hash. The
default hash is an address, which differs from run to run. The number must exist before `Task.__init__`, which puts the
task into a set.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from pytest_coordchaos.runtimes.sim.node import NODE, SimNode

__all__ = ["Numbers", "SimFuture", "SimTask"]


class Numbers:
    """Where the next number comes from; one simulation at a time counts."""

    tasks = count(1)
    futures = count(1)

    @classmethod
    def restart(cls) -> None:
        """Count from 1 again, for a new simulation."""
        cls.tasks, cls.futures = count(1), count(1)


class SimTask(asyncio.Task[Any]):
    """A task with its number, and the node it belongs to."""

    __slots__ = ("node", "number")
    number: int
    node: SimNode | None

    def __new__(cls, *args: Any, **kwargs: Any) -> SimTask:
        self = super().__new__(cls)
        self.number = next(Numbers.tasks)
        context = kwargs.get("context")
        self.node = NODE.get() if context is None else context.get(NODE)
        return self

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):
    """A future that gets its number when its hash is first asked for: most futures never are in a set."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            self.number = next(Numbers.futures)
            return self.number
