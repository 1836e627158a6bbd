"""Causal contexts: which updates a state has seen, in little room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Context", "Dot"]


class Dot(NamedTuple):
    """The name of one update: the replica that made it, and its number there, from 1."""

    replica: str
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A set of dots: all up to a number for each replica, and a few beyond (Almeida, Shoker, Baquero 2015, §7).

    Args:
        vector: Replica -> n: its dots 1 … n are in.
        cloud: Dots that do not follow on `vector` (yet).
    """

    vector: Mapping[str, int] = field(default_factory=dict)
    cloud: frozenset[Dot] = frozenset()

    @classmethod
    def of(cls, dots: Iterable[Dot]) -> Context:
        """Exactly these dots."""
        return _compact({}, dots)

    def __contains__(self, dot: Dot) -> bool:
        return dot.counter <= self.vector.get(dot.replica, 0) or dot in self.cloud

    def __len__(self) -> int:
        """Numbers kept: one for each replica, one for each dot beyond."""
        return len(self.vector) + len(self.cloud)

    @property
    def dots(self) -> int:
        """How many dots are in."""
        return sum(self.vector.values()) + len(self.cloud)

    def next_dot(self, replica: str) -> Dot:
        """The dot of the replica's next update. Only the replica itself may ask: a dot must not be used twice."""
        return Dot(replica, self.vector.get(replica, 0) + 1)

    def merge(self, other: Context) -> Context:
        """The dots of both."""
        vector = dict(self.vector)
        for replica, count in other.vector.items():
            vector[replica] = max(count, vector.get(replica, 0))
        return _compact(vector, self.cloud | other.cloud)

    def leq(self, other: Context) -> bool:
        """Whether the other has every dot of this one."""
        return all(dot in other for dot in self.cloud) and all(
            Dot(replica, count) in other and _covers(other, replica, count) for replica, count in self.vector.items()
        )

    def to_json(self) -> list[Any]:
        """As plain lists."""
        return [sorted([replica, count] for replica, count in self.vector.items()), sorted(list(dot) for dot in self.cloud)]

    @classmethod
    def of_json(cls, data: Any) -> Context:
        """Back from `to_json`."""
        vector, cloud = data
        return cls(vector=dict(vector), cloud=frozenset(Dot(*dot) for dot in cloud))


def _covers(context: Context, replica: str, count: int) -> bool:
    first = context.vector.get(replica, 0) + 1
    return all(Dot(replica, number) in context.cloud for number in range(first, count + 1))


def _compact(vector: dict[str, int], cloud: Iterable[Dot]) -> Context:
    """Dots that follow on the vector go into it."""
    return Context(vector=vector, cloud=frozenset(_beyond(vector, cloud)))


def _beyond(vector: dict[str, int], cloud: Iterable[Dot]) -> Iterator[Dot]:
    for dot in sorted(cloud):
        reached = vector.get(dot.replica, 0)
        if dot.counter == reached + 1:
            vector[dot.replica] = dot.counter
        elif dot.counter > reached:
            yield dot
