"""Latency percentiles that cannot be flattered. Pure.

Latency runs from the intended start. Operations nobody answered are not left out: they took at least
as long as the client waited, so a percentile is an interval. Rule ids are those of
docs/reference/counting.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_coordchaos.history.model import History, Operation, Outcome

__all__ = ["Percentile", "nearest_rank", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A percentile between two bounds.

    Args:
        least_ms: It is at least this: every unanswered operation ended when its client gave up.
        most_ms: It is at most this: every unanswered operation lasts for ever (`inf`: no bound).
        operations: How many operations there were.
        unanswered: How many of them ended in info.
    """

    least_ms: float
    most_ms: float
    operations: int
    unanswered: int

    @property
    def exact(self) -> bool:
        """Unanswered operations cannot move it."""
        return self.least_ms == self.most_ms


def percentile(history: History, percent: int, *, sent: bool = False) -> Percentile:
    """The nearest-rank percentile of a history that is not empty.

    A fail counts only where it makes the percentile worse: it is the larger one of those with and
    without fails. Quick refusals cannot lower it, slow ones cannot hide (rule latency-fails).

    Args:
        sent: Of the time from when operations were really sent: without their wait for a free client. No budget's measure.
    """
    everything = history.operations
    without_fails = [op for op in everything if op.outcome is not Outcome.FAIL]
    bounds = [_bounds(operations, percent, sent) for operations in (everything, without_fails) if operations]
    return Percentile(
        least_ms=max(least for least, _ in bounds),
        most_ms=max(most for _, most in bounds),
        operations=len(everything),
        unanswered=sum(op.outcome is Outcome.INFO for op in everything),
    )


def nearest_rank(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of 100 values do not exceed."""
    rank = max(1, -(-percent * len(values) // 100))
    return sorted(values)[rank - 1]


def _bounds(operations: Sequence[Operation], percent: int, sent: bool) -> tuple[float, float]:
    least = [((op.ended_ns - op.invoke_ns) if sent else op.latency_ns) / 1e6 for op in operations]
    most = [math.inf if op.outcome is Outcome.INFO else took_ms for op, took_ms in zip(operations, least, strict=True)]
    return nearest_rank(least, percent), nearest_rank(most, percent)
