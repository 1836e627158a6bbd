"""Counters (Shapiro, Preguiça, Baquero, Zawirski 2011, §3.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["GCounter", "PNCounter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GCounter:
    """A counter that only grows: each replica's own total; merging takes the larger one of each."""

    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def value(self) -> int:
        """The sum of all totals."""
        return sum(self.counts.values())

    def increment(self, replica: str, by: int = 1) -> GCounter:
        """Delta: the replica's total with `by` (at least 1) more."""
        if by < 1:
            raise ValueError(f"increment by {by} is not allowed: at least 1")
        return GCounter(counts={replica: self.counts.get(replica, 0) + by})

    def merge(self, other: GCounter) -> GCounter:
        """The larger total of each replica."""
        counts = dict(self.counts)
        for replica, count in other.counts.items():
            counts[replica] = max(count, counts.get(replica, 0))
        return GCounter(counts=counts)

    def leq(self, other: GCounter) -> bool:
        """No total is above the other's."""
        return all(count <= other.counts.get(replica, 0) for replica, count in self.counts.items())

    def to_json(self) -> dict[str, int]:
        """As a plain object."""
        return dict(self.counts)

    @classmethod
    def of_json(cls, data: Any) -> GCounter:
        """Back from `to_json`."""
        return cls(counts=dict(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class PNCounter:
    """A counter that goes up and down: one growing counter for each way."""

    plus: GCounter = field(default_factory=GCounter)
    minus: GCounter = field(default_factory=GCounter)

    @property
    def value(self) -> int:
        """What was added less what was taken; may be below 0."""
        return self.plus.value - self.minus.value

    def increment(self, replica: str, by: int = 1) -> PNCounter:
        """Delta: `by` (at least 1) more."""
        return PNCounter(plus=self.plus.increment(replica, by))

    def decrement(self, replica: str, by: int = 1) -> PNCounter:
        """Delta: `by` (at least 1) less."""
        return PNCounter(minus=self.minus.increment(replica, by))

    def merge(self, other: PNCounter) -> PNCounter:
        """Both ways merged."""
        return PNCounter(plus=self.plus.merge(other.plus), minus=self.minus.merge(other.minus))

    def leq(self, other: PNCounter) -> bool:
        """Both ways are at most the other's."""
        return self.plus.leq(other.plus) and self.minus.leq(other.minus)

    def to_json(self) -> list[dict[str, int]]:
        """As plain objects."""
        return [self.plus.to_json(), self.minus.to_json()]

    @classmethod
    def of_json(cls, data: Any) -> PNCounter:
        """Back from `to_json`."""
        plus, minus = data
        return cls(plus=GCounter.of_json(plus), minus=GCounter.of_json(minus))
