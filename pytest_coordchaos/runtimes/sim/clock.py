"""Clocks of nodes: what a machine takes for the time, as a function of virtual time. Pure.

Monotonic time runs at the node's rate and never steps; wall time is monotonic time plus an offset that may jump.
A node's timers count on its own monotonic clock, so a fast clock really fires them early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_coordchaos.runtimes.sim.tape import Stream

__all__ = ["EPOCH_NS", "START_NS", "ClockModel", "NodeClock"]

START_NS = 1_000_000_000_000
"""Virtual time at which simulations begin: machines have been up for a while."""

EPOCH_NS = 1_767_225_600_000_000_000
"""Wall time at virtual time 0: 2026-01-01, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockModel:
    """How wrong machines' clocks are.

    Args:
        offset_s: Wall clocks are off by at most this, either way.
        drift: Rates differ from true time by at most this share, either way.
    """

    offset_s: float = 2.0
    drift: float = 0.005

    @classmethod
    def exact(cls) -> ClockModel:
        """All clocks show the true time."""
        return cls(offset_s=0.0, drift=0.0)

    def set(self, clock: NodeClock, draws: Stream) -> None:
        """Draw one machine's clock."""
        if self.offset_s or self.drift:
            clock.offset_ns = round(self.offset_s * 1e9 * _either_way(draws))
            clock.set_rate(1.0 + self.drift * _either_way(draws), START_NS)


def _either_way(draws: Stream) -> float:
    """A number from -1 to 1 in steps of 1/1000; choice 0 is 0."""
    choice = draws.below(2001)
    return (choice + 1) // 2 / 1000 * (1 if choice % 2 else -1)


class NodeClock:
    """One machine's clock.

    Attributes:
        offset_ns: How far its wall clock is ahead of the true one, beside its drift.
    """

    __slots__ = ("_base_local_ns", "_base_ns", "_rate", "_rate_is_one", "offset_ns")

    def __init__(self) -> None:
        self._rate = 1.0
        self._rate_is_one = True
        self._base_ns = self._base_local_ns = START_NS
        self.offset_ns = 0

    @property
    def rate(self) -> float:
        """Local seconds that pass in one true second."""
        return self._rate

    def set_rate(self, rate: float, now_ns: int) -> None:
        """From now on the clock runs at this rate; what it shows does not jump.

        Raises:
            ValueError: The rate is not from 0.5 to 2.
        """
        if not 0.5 <= rate <= 2.0:
            raise ValueError(f"clock rate {rate!r} is not allowed; 0.5 to 2.0")
        self._base_local_ns, self._base_ns = self.monotonic_ns(now_ns), now_ns
        self._rate, self._rate_is_one = rate, rate == 1.0 and self._base_local_ns == now_ns

    def monotonic_ns(self, now_ns: int) -> int:
        """What the monotonic clock shows at a virtual time."""
        if self._rate_is_one:
            return now_ns
        return self._base_local_ns + round((now_ns - self._base_ns) * self._rate)

    def wall_ns(self, now_ns: int) -> int:
        """What the wall clock shows at a virtual time."""
        return EPOCH_NS + self.monotonic_ns(now_ns) + self.offset_ns

    def virtual_ns(self, local_ns: int) -> int:
        """The virtual time at which the monotonic clock shows at least this."""
        if self._rate_is_one:
            return local_ns
        return self._base_ns + math.ceil((local_ns - self._base_local_ns) / self._rate)
