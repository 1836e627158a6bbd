"""Carts with one bug each, for `mutants.py`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reference_systems.crdt import Context, Dot
from reference_systems.crdt.maps import Key
from reference_systems.crdt_cart.cart import Cart

__all__ = [
    "Counts",
    "FirstComer",
    "Forgetful",
    "LastWriter",
    "Net",
    "Overwriting",
    "Shared",
    "Summed",
    "Summing",
    "Sweeping",
    "Tagged",
    "TwoPhase",
]

Dots = Mapping[Dot, list[int]]
_ADDED, _REMOVED = 1, 2
_GONE = Dot("gone", 1)


class Counts(Cart):
    """K15, the cart of many articles with a right merge: each replica's totals of what it added and what it removed."""

    def add(self, replica: str, item: str, quantity: int, operation: int) -> Cart:
        return self._counted(replica, _ADDED, item, quantity, operation)

    def take_out(self, replica: str, item: str) -> Cart:
        return self._counted(replica, _REMOVED, item, self.quantities().get(item, 0), 0)

    def _counted(self, replica: str, way: int, item: str, more: int, operation: int) -> Cart:
        dot = Dot(replica, way)
        total, *operations = self.entries.get(item, {}).get(dot, [0])
        return type(self)(entries={item: {dot: [total + more, *operations, operation]}})

    def _joined(self, mine: Dots, others: Dots, seen: Context) -> Dots:
        return {dot: max(mine.get(dot, []), others.get(dot, [])) for dot in {**mine, **others}}

    def operations(self, item: str) -> list[int]:
        totals = self.entries.get(item, {}).items()
        return sorted(operation for dot, (_, *known) in totals if dot.counter == _ADDED for operation in known if operation)

    def quantities(self) -> dict[str, int]:
        return {str(item): total for item, dots in self.entries.items() if (total := _net(dots)) > 0}

    def leq(self, other: Cart) -> bool:
        return other.merge(self) == other


def _net(dots: Dots) -> int:
    return sum(payload[0] if dot.counter == _ADDED else -payload[0] for dot, payload in dots.items())


class Overwriting(Counts):
    """K1: takes over the other's totals, also where they are older."""

    def _joined(self, mine: Dots, others: Dots, seen: Context) -> Dots:
        return {**mine, **others}


class Shared(Counts):
    """K4: one total for all replicas."""

    def _counted(self, replica: str, way: int, item: str, more: int, operation: int) -> Cart:
        return super()._counted("all", way, item, more, operation)


class Net(Counts):
    """K5: one total a replica, less what it removed."""

    def take_out(self, replica: str, item: str) -> Cart:
        return self._counted(replica, _ADDED, item, -self.quantities().get(item, 0), 0)


class LastWriter(Counts):
    """K2: [time, quantity, operation] of an item; merging takes the later."""

    def set(self, item: str, stamp: float, quantity: int, operation: int) -> Cart:
        return type(self)(entries={item: {Dot("", _ADDED): [int(stamp), quantity, operation]}})

    def quantities(self) -> dict[str, int]:
        return {str(item): quantity for item, dots in self.entries.items() for _, quantity, _ in dots.values() if quantity}


class FirstComer(LastWriter):
    """K10: of two with the same time each keeps its own."""

    def _joined(self, mine: Dots, others: Dots, seen: Context) -> Dots:
        return {dot: max(mine.get(dot, [0]), others.get(dot, [0]), key=lambda payload: payload[0]) for dot in {**mine, **others}}


class Summing(Cart):
    """K3: what both hold is added up."""

    def _joined(self, mine: Dots, others: Dots, seen: Context) -> Dots:
        both = {dot: [mine[dot][0] + others[dot][0], mine[dot][1]] for dot in mine if dot in others}
        return {**super()._joined(mine, others, seen), **both}


class Tagged(Cart):
    """K6: the tag of an add is how many adds of the item are there."""

    def add(self, replica: str, item: str, quantity: int, operation: int) -> Cart:
        dot = Dot(f"{replica}/{item}", 1 + len(self.entries.get(item, {})))
        return type(self)(entries={item: {dot: [quantity, operation]}}, context=Context.of([dot]))


class Sweeping(Cart):
    """K7: a remove takes all of the item that it meets."""

    def take_out(self, replica: str, item: str) -> Cart:
        return replace(self.remove(item), entries={item: {}})

    def merge(self, other: Any) -> Any:
        joined = super().merge(other)
        return replace(joined, entries={item: dots for item, dots in joined.entries.items() if other.entries.get(item, dots)})


class Forgetful(Cart):
    """K8: forgets at once what was removed. Numbers of operations are its dots, so that none is used twice."""

    def add(self, replica: str, item: str, quantity: int, operation: int) -> Cart:
        dot = Dot(replica, operation)
        return type(self)(entries={item: {dot: [quantity, operation]}}, context=Context.of([dot]))

    def merge(self, other: Any) -> Any:
        joined = super().merge(other)
        return replace(joined, context=Context.of(dot for dots in joined.entries.values() for dot in dots))


class TwoPhase(Cart):
    """K9: a remove marks the item for good."""

    def take_out(self, replica: str, item: str) -> Cart:
        return type(self)(entries={item: {_GONE: [0, 0]}})

    def _joined(self, mine: Dots, others: Dots, seen: Context) -> Dots:
        return {**mine, **others}

    def operations(self, item: str) -> list[int]:
        return [operation for operation in super().operations(item) if operation]

    def quantities(self) -> dict[str, int]:
        there: dict[Key, Dots] = {item: dots for item, dots in self.entries.items() if _GONE not in dots}
        return Cart(entries=there).quantities()

    def leq(self, other: Cart) -> bool:
        return other.merge(self) == other


class Summed(Cart):
    """K13: the numbers of two contexts are added up."""

    def merge(self, other: Any) -> Any:
        one, two = self.context.vector, other.context.vector
        joined = super().merge(other)
        vector = {replica: one.get(replica, 0) + two.get(replica, 0) for replica in joined.context.vector}
        return replace(joined, context=joined.context.merge(Context(vector=vector)))
