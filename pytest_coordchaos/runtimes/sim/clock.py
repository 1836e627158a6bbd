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
    """One machine's clock: its own error, and what faults add to it.

    Attributes:
        offset_ns: How far its wall clock is ahead of the true one by itself, beside its drift.
    """

    __slots__ = (
        "_base_local_ns",
        "_base_ns",
        "_drifted_ns",
        "_fault_rate",
        "_forgotten_ns",
        "_own_rate",
        "_rate",
        "_rate_is_one",
        "_step_ns",
        "offset_ns",
    )

    def __init__(self) -> None:
        self._rate = self._own_rate = self._fault_rate = 1.0
        self._rate_is_one = True
        self._base_ns = self._base_local_ns = START_NS
        self._drifted_ns = self._forgotten_ns = self._step_ns = 0
        self.offset_ns = 0

    @property
    def rate(self) -> float:
        """Local seconds that pass in one true second."""
        return self._rate

    def set_rate(self, rate: float, now_ns: int) -> None:
        """From now on the clock by itself runs at this rate; what it shows does not jump.

        Raises:
            ValueError: The rate is not from 0.5 to 2.
        """
        if not 0.5 <= rate <= 2.0:
            raise ValueError(f"clock rate {rate!r} is not allowed; 0.5 to 2.0")
        self._run_at(rate, self._fault_rate, now_ns)

    def set_fault(self, offset_ns: int, rate: float, now_ns: int) -> None:
        """What faults do to it from now on. When no drift is left, the wall clock forgets what it drifted: it is set right.

        Args:
            offset_ns: Added to the wall clock.
            rate: Multiplies its own rate.
        """
        self._run_at(self._own_rate, rate, now_ns)
        if rate == 1.0:
            self._forgotten_ns = self._drifted_ns
        self._step_ns = offset_ns - self._forgotten_ns

    def _run_at(self, own_rate: float, fault_rate: float, now_ns: int) -> None:
        passed_ns, local_ns = now_ns - self._base_ns, self.monotonic_ns(now_ns)
        self._drifted_ns += round(passed_ns * self._own_rate * (self._fault_rate - 1.0))
        self._base_ns, self._base_local_ns = now_ns, local_ns
        self._own_rate, self._fault_rate, self._rate = own_rate, fault_rate, own_rate * fault_rate
        self._rate_is_one = self._rate == 1.0 and local_ns == now_ns

    def monotonic_ns(self, now_ns: int) -> int:
        """What the monotonic clock shows at a virtual time."""
        if self._rate_is_one:
            return now_ns
        return self._base_local_ns + round((now_ns - self._base_ns) * self._rate)

    def wall_ns(self, now_ns: int) -> int:
        """What the wall clock shows at a virtual time."""
        return EPOCH_NS + self.monotonic_ns(now_ns) + self.offset_ns + self._step_ns

    def seen(self, now_ns: int) -> tuple[float, float]:
        """What faults make of it, as two readings tell: seconds its wall clock is ahead beside its drift, and its rate."""
        apart_ns = self.wall_ns(now_ns) - self.monotonic_ns(now_ns) - EPOCH_NS
        passed_ns = self.monotonic_ns(now_ns + 1_000_000_000) - self.monotonic_ns(now_ns)
        return (apart_ns - self.offset_ns + self._forgotten_ns) / 1e9, passed_ns / 1e9 / self._own_rate

    def virtual_ns(self, local_ns: int) -> int:
        """The virtual time at which the monotonic clock shows at least this."""
        if self._rate_is_one:
            return local_ns
        return self._base_ns + math.ceil((local_ns - self._base_local_ns) / self._rate)
