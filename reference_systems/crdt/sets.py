"""Sets (Shapiro et al. 2011, §3.3; Bieniusa et al. 2012). Pure. Elements are texts or numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reference_systems.crdt.maps import Key, ORMap

__all__ = ["GSet", "ORSet", "TwoPhaseSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GSet:
    """A set that only grows."""

    elements: frozenset[Key] = frozenset()

    def __contains__(self, element: Key) -> bool:
        return element in self.elements

    def add(self, element: Key) -> GSet:
        """Delta: the element."""
        return GSet(elements=frozenset([element]))

    def merge(self, other: GSet) -> GSet:
        """The union."""
        return GSet(elements=self.elements | other.elements)

    def leq(self, other: GSet) -> bool:
        """A subset of the other."""
        return self.elements <= other.elements

    def to_json(self) -> list[Key]:
        """As a plain list."""
        return sorted(self.elements, key=lambda element: (str(type(element)), element))

    @classmethod
    def of_json(cls, data: Any) -> GSet:
        """Back from `to_json`."""
        return cls(elements=frozenset(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPhaseSet:
    """A set whose elements can be removed once and for all: what was removed can never be added again."""

    added: GSet = field(default_factory=GSet)
    removed: GSet = field(default_factory=GSet)

    def __contains__(self, element: Key) -> bool:
        return element in self.added and element not in self.removed

    @property
    def elements(self) -> frozenset[Key]:
        """What is in it."""
        return self.added.elements - self.removed.elements

    def add(self, element: Key) -> TwoPhaseSet:
        """Delta: the element, unless it was ever removed."""
        return TwoPhaseSet(added=self.added.add(element))

    def remove(self, element: Key) -> TwoPhaseSet:
        """Delta: without the element. It must be in the set: else an add that nobody has seen would be undone."""
        if element not in self:
            raise ValueError(f"{element!r} is not in the set, so it cannot be removed")
        return TwoPhaseSet(removed=self.removed.add(element))

    def merge(self, other: TwoPhaseSet) -> TwoPhaseSet:
        """Both parts merged."""
        return TwoPhaseSet(added=self.added.merge(other.added), removed=self.removed.merge(other.removed))

    def leq(self, other: TwoPhaseSet) -> bool:
        """Both parts are subsets of the other's."""
        return self.added.leq(other.added) and self.removed.leq(other.removed)

    def to_json(self) -> list[list[Key]]:
        """As plain lists."""
        return [self.added.to_json(), self.removed.to_json()]

    @classmethod
    def of_json(cls, data: Any) -> TwoPhaseSet:
        """Back from `to_json`."""
        added, removed = data
        return cls(added=GSet.of_json(added), removed=GSet.of_json(removed))


@dataclass(frozen=True, slots=True, kw_only=True)
class ORSet:
    """A set whose removals take away only what was seen: an add at the same time wins. No tombstones."""

    map: ORMap[bool] = field(default_factory=ORMap)

    def __contains__(self, element: Key) -> bool:
        return element in self.map.entries

    @property
    def elements(self) -> frozenset[Key]:
        """What is in it."""
        return frozenset(self.map.entries)

    def add(self, replica: str, element: Key) -> ORSet:
        """Delta: the element under a new dot, in place of those that were seen."""
        return ORSet(map=self.map.assign(replica, element, True))

    def remove(self, element: Key) -> ORSet:
        """Delta: without the adds of the element that were seen here."""
        return ORSet(map=self.map.remove(element))

    def merge(self, other: ORSet) -> ORSet:
        """Adds that both hold, or that one holds and the other has never seen."""
        return ORSet(map=self.map.merge(other.map))

    def leq(self, other: ORSet) -> bool:
        """The other has seen all of this, and holds nothing that is removed here."""
        return self.map.leq(other.map)

    def to_json(self) -> list[Any]:
        """As plain lists."""
        return self.map.to_json()

    @classmethod
    def of_json(cls, data: Any) -> ORSet:
        """Back from `to_json`."""
        return cls(map=ORMap.of_json(data))
