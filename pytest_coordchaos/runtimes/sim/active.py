"""Which simulation runs in this process now: what patches and fences look at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.kernel import Kernel
    from pytest_coordchaos.runtimes.sim.swap import Swapped

__all__ = ["enter", "leave", "loop", "reseed", "stream", "switches"]

loop: Kernel | None = None
"""The loop that runs now; None: none does, and everything is real."""

switches: list[Swapped] = []
"""Functions of the interpreter that are exchanged while a simulation runs, and only then."""

_seed: object = 0
_streams: dict[tuple[str, str, int], random.Random] = {}


def reseed(seed: object) -> None:
    """A new simulation begins: all randomness starts from its seed."""
    global _seed
    _seed = seed
    _streams.clear()


def stream(kind: str) -> random.Random:
    """The generator of one kind ("random", "urandom") of the life that runs, or of the experiment."""
    node = None if loop is None else loop.node
    key = (kind, "", 0) if node is None else (kind, node.name, node.incarnation)
    found = _streams.get(key)
    if found is None:
        found = _streams[key] = random.Random(f"{_seed}/{kind}" if node is None else f"{_seed}/{kind}/{key[1]}#{key[2]}")
    return found


def enter(kernel: Kernel) -> None:
    """A simulation runs now."""
    global loop
    loop = kernel
    for one in switches:
        one.on()


def leave() -> None:
    """It stands still, or is over."""
    global loop
    for one in switches:
        one.off()
    loop = None
