"""Run a node inside a simulator: the same `Env`, network code and frames as in a process, on a simulated loop and disk.

The simulator calls `run` once for each life of a node, in the node's own context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from reference_systems.kit.env import Disk
from reference_systems.kit.host import live

__all__ = ["LoopClock", "run"]


class LoopClock:
    """The node's clock, as its loop has it.

    Args:
        wall: Seconds since 1970 as the node believes.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self.wall = wall

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)


async def run(
    entry: str,
    document: dict[str, Any],
    *,
    disk: Disk,
    wall: Callable[[], float],
    incarnation: int,
    read_again: Callable[[], dict[str, Any]],
) -> None:
    """One life of a node; raises what its main, or anything it spawned, raised.

    Args:
        entry: "module:function" of an `async def main(env)`.
        document: What `node.json` would hold.
        disk: The machine's simulated disk.
        wall: The machine's wall clock.
        incarnation: How often the node was started before.
        read_again: The document as it is now.
    """
    await live(entry, document, clock=LoopClock(wall), disk=disk, incarnation=incarnation, read_again=read_again)
