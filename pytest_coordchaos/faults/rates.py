"""How rates of faults on frames combine: as independent draws. Pure.

A rate in force is compared with one uniform draw per frame and kind. That is the same in distribution as one
draw per fault, and a probe can prove the rate to the last bit by drawing just below it and exactly it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_coordchaos.faults.model import FrameKind, FrameRule

__all__ = ["combined", "rate_of"]


def combined(rates: Iterable[float]) -> float:
    """The probability that at least one of independent events occurs. The order of the rates cannot show."""
    ordered = sorted(rates)
    if len(ordered) == 1:
        return ordered[0]  # exactly what was asked for, not 1 - (1 - rate)
    spared = 1.0
    for rate in ordered:
        spared *= 1.0 - rate
    return 1.0 - spared


def rate_of(rules: Iterable[FrameRule], kind: FrameKind, message_class: str) -> float:
    """How likely a frame of this class meets this."""
    return combined(rule.rate for rule in rules if rule.kind is kind and message_class in (rule.classes or (message_class,)))
