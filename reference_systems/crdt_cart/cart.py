"""The cart: an observed-remove map of items, each add a dot of its own. Pure.

An item's quantity is the sum of the adds that no remove has seen, so that it is never below what was
added after a remove, whoever else removed it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_systems.crdt import ORMap

__all__ = ["Cart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart(ORMap[list[int]]):
    """Item -> dot -> [quantity, id of the operation that added it]."""

    def add(self, replica: str, item: str, quantity: int, operation: int) -> Cart:
        """Delta: so many more of the item."""
        return self.put(replica, item, [quantity, operation])

    def take_out(self, replica: str, item: str) -> Cart:
        """Delta: without the adds of the item that are seen here. A remove needs no dot of its own, so no replica."""
        return self.remove(item)

    def operations(self, item: str) -> list[int]:
        """Ids of the adds that a remove would take away."""
        return sorted(operation for _, operation in self.values(item))

    def quantities(self) -> dict[str, int]:
        """Item -> how many, in order of items."""
        return {str(item): sum(quantity for quantity, _ in self.values(item)) for item in sorted(self.entries, key=str)}

    @property
    def size(self) -> int:
        """Numbers that are kept: for each add that is there, and for what was seen."""
        return self.dots + len(self.context)
