"""The observed-remove map: keys with dotted values, and one causal context for all of them. Pure.

A state is what is there and which updates were seen. What was seen and is not there was removed, so
nothing is kept of what is gone (no tombstones). Two states that share a dot agree on its value.
Sources: Bieniusa et al., An Optimized Conflict-free Replicated Set, 2012; Almeida, Shoker, Baquero,
Efficient State-based CRDTs by Delta-Mutation, 2015 (§7: causal delta-states, maps).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from reference_systems.crdt.context import Context, Dot

__all__ = ["CounterMap", "Key", "ORMap"]

Key = str | int
V = TypeVar("V")
Self = TypeVar("Self", bound="ORMap[Any]")
Dotted = Mapping[Dot, V]


@dataclass(frozen=True, slots=True, kw_only=True)
class ORMap(Generic[V]):
    """A map whose keys hold the values that were put there and not removed by somebody who had seen them.

    Args:
        entries: Key -> dot -> value; no key is empty.
        context: The dots of all updates seen.
    """

    entries: Mapping[Key, Dotted[V]] = field(default_factory=dict)
    context: Context = field(default_factory=Context)

    def values(self, key: Key) -> tuple[V, ...]:
        """What the key holds, in order of dots; () when it is not there."""
        return tuple(value for _, value in sorted(self.entries.get(key, {}).items()))

    def put(self: Self, replica: str, key: Key, value: Any) -> Self:
        """Delta: the value beside what the key holds."""
        dot = self.context.next_dot(replica)
        return type(self)(entries={key: {dot: value}}, context=Context.of([dot]))

    def assign(self: Self, replica: str, key: Key, value: Any) -> Self:
        """Delta: the value in place of all that was seen there; what others put at the same time stays beside it."""
        dot = self.context.next_dot(replica)
        return type(self)(entries={key: {dot: value}}, context=Context.of([dot, *self.entries.get(key, ())]))

    def remove(self: Self, key: Key) -> Self:
        """Delta: without what the key holds here; what was not seen here stays."""
        return type(self)(context=Context.of(self.entries.get(key, ())))

    def merge(self: Self, other: Self) -> Self:
        """Of each key the dots that both hold, or that one holds and the other has never seen."""
        entries = dict(self.entries)
        for key in other.entries if other._only_adds() else dict.fromkeys([*self.entries, *other.entries]):
            dots = self._joined(self.entries.get(key, {}), other.entries.get(key, {}), other.context)
            if dots:
                entries[key] = dots
            else:
                entries.pop(key, None)
        return type(self)(entries=entries, context=self.context.merge(other.context))

    def _joined(self, mine: Dotted[V], others: Dotted[V], seen: Context) -> Dotted[V]:
        kept = {dot: value for dot, value in mine.items() if dot in others or dot not in seen}
        new = {dot: value for dot, value in others.items() if dot not in self.context}
        return {**kept, **new}

    def _only_adds(self) -> bool:
        """It has seen nothing but what it holds: a delta that takes nothing away."""
        return self.context.dots == self.dots

    def leq(self: Self, other: Self) -> bool:
        """The other has seen all that this one has seen, and holds nothing that is removed here."""
        return self.context.leq(other.context) and all(
            dot in self.entries.get(key, {}) or dot not in self.context for key, dot in _dots(other.entries)
        )

    @property
    def dots(self) -> int:
        """How many dots it holds."""
        return sum(len(dots) for dots in self.entries.values())

    def to_json(self) -> list[Any]:
        """As plain lists; the values must be plain JSON already."""
        entries = [
            [key, [[*dot, value] for dot, value in sorted(dots.items())]]
            for key, dots in sorted(self.entries.items(), key=lambda entry: (str(type(entry[0])), entry[0]))
        ]
        return [entries, self.context.to_json()]

    @classmethod
    def of_json(cls: type[Self], data: Any) -> Self:
        """Back from `to_json`."""
        entries, context = data
        return cls(
            entries={key: {Dot(replica, counter): value for replica, counter, value in dots} for key, dots in entries},
            context=Context.of_json(context),
        )


def _dots(entries: Mapping[Key, Dotted[Any]]) -> Iterable[tuple[Key, Dot]]:
    return ((key, dot) for key, dots in entries.items() for dot in dots)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterMap(ORMap[int]):
    """An observed-remove map of PN-counters: each change of a counter is a dot of its own.

    Removing a key takes away exactly the changes that were seen: what others count at the same time
    stays, and never comes back as a hidden negative.
    """

    def increment(self, replica: str, key: Key, by: int = 1) -> CounterMap:
        """Delta: the key's counter `by` more, or less when it is below 0."""
        return self.put(replica, key, by)

    def value(self, key: Key) -> int:
        """The key's counter; 0 when it is not there."""
        return sum(self.values(key))
