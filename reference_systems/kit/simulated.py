"""Run a node inside a simulator: the same `Env`, network code and frames as in a process, on a simulated loop and disk.

The simulator calls `run` once for each life of a node, in the node's own context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_systems.kit.env import Disk
from reference_systems.kit.host import LoopClock, live

__all__ = ["run"]


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
