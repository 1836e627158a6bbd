"""Which simulation runs in this process now: what patches and fences look at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.kernel import Kernel

__all__ = ["entropy", "loop"]

loop: Kernel | None = None
"""The loop that runs now; None: none does, and everything is real."""

entropy = random.Random(0)
"""Where `os.urandom` comes from while a simulation runs."""
