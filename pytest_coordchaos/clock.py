"""The clock that experiment, nemesis and workloads are given, so that a simulator can give another."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Time as the experiment sees it."""

    def now_ns(self) -> int:
        """Nanoseconds; comparable with the ledger's times."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long on this clock."""
        ...


class SystemClock:
    """The host's monotonic clock (CLOCK_MONOTONIC: the same in every process of the host)."""

    def now_ns(self) -> int:
        """`time.monotonic_ns()`."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)
