"""What neighbours have not acknowledged yet. Pure.

Deltas are numbered in each life of a node; number 1 is the state it began with. Of each neighbour it is known up to
which number it has all of them, or nothing: then it needs the whole state (Almeida, Shoker, Baquero 2015, algorithm 2).
A delta goes to all neighbours but those that told it (Enes et al. 2018), and is kept until none needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reference_systems.crdt_cart.cart import Cart

__all__ = ["Deltas", "Kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One delta: its number, and the neighbours that have told it."""

    number: int
    told_by: frozenset[str]
    delta: Cart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """A neighbour has, in this life of its, all deltas up to a number."""

    life: int
    number: int


class Deltas:
    """The deltas of one life of a node.

    Args:
        neighbours: Who must get them.
        most: How many are kept at most; who still needs one that is dropped gets the whole state.
    """

    def __init__(self, neighbours: Sequence[str], most: int) -> None:
        self.last = 1
        self.neighbours = tuple(neighbours)
        self._most = most
        self._dropped = 0
        self._kept: list[Kept] = []
        self._reached: dict[str, _Reached | None] = dict.fromkeys(neighbours)

    def __len__(self) -> int:
        return len(self._kept)

    def append(self, delta: Cart, source: str) -> None:
        """Number a delta and keep it."""
        self.last += 1
        self._kept.append(Kept(number=self.last, told_by=frozenset([source]), delta=delta))
        if len(self._kept) > self._most:
            self._drop(self._kept.pop(0))
        self._collect()

    def told(self, peer: str, cart: Cart) -> None:
        """What the neighbour says it knows is not said back to it."""
        self._kept = [replace(kept, told_by=kept.told_by | {peer}) if kept.delta.leq(cart) else kept for kept in self._kept]
        self._collect()

    def _drop(self, dropped: Kept) -> None:
        self._dropped = dropped.number
        for peer in self.neighbours:
            if self._needs(peer, dropped):
                self._reached[peer] = None

    def first_for(self, peer: str) -> int:
        """The number after which the neighbour needs deltas; 0: it needs the whole state."""
        reached = self._reached[peer]
        return reached.number if reached else 0

    def needed_by(self, peer: str) -> list[Cart] | None:
        """The deltas it needs, in order; None: it needs the whole state."""
        if self._reached[peer] is None:
            return None
        return [kept.delta for kept in self._kept if self._needs(peer, kept)]

    def acknowledged(self, peer: str, life: int, number: int) -> None:
        """The neighbour has all deltas up to a number."""
        self._reached[peer] = None if number < self._dropped else _Reached(life=life, number=number)
        self._collect()

    def forget(self, peer: str) -> None:
        """Nothing is known of what the neighbour has."""
        self._reached[peer] = None
        self._collect()

    def met(self, peer: str, life: int) -> None:
        """The neighbour spoke, in this life of its: what an earlier one had may be lost."""
        reached = self._reached[peer]
        if reached and reached.life != life:
            self.forget(peer)

    def _needs(self, peer: str, kept: Kept) -> bool:
        """Also when it needs the whole state: that may be on its way, and what comes after it must not be lost."""
        reached = self._reached[peer]
        return peer not in kept.told_by and (reached is None or kept.number > reached.number)

    def _collect(self) -> None:
        self._kept = [kept for kept in self._kept if any(self._needs(peer, kept) for peer in self._reached)]
