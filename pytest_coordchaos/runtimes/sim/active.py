"""Which simulation runs in this process now: what patches and fences look at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.kernel import Kernel
    from pytest_coordchaos.runtimes.sim.swap import Swapped

__all__ = ["enter", "entropy", "leave", "loop", "switches"]

loop: Kernel | None = None
"""The loop that runs now; None: none does, and everything is real."""

switches: list[Swapped] = []
"""Functions of the interpreter that are exchanged while a simulation runs, and only then."""

entropy = random.Random(0)
"""Where `os.urandom` comes from while a simulation runs."""


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
