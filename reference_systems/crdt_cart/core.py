"""One replica of the cart, without clock, network or disk. Pure.

What happens here or is heard becomes a `Write`. It is answered, shown to readers and handed on only when it is durable:
a dot that a crash could take back would be given away twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.deltas import Deltas
from reference_systems.crdt_cart.messages import Ack, Interval, packed

__all__ = ["Replica", "Stored", "Write", "neighbours_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Something to make durable, and what to answer then.

    Args:
        delta: What it changes; None: nothing, but the answer tells of writes before it.
        source: The neighbour it was heard from; "": it was made here.
        operation: Id of the client operation behind it; 0: none.
        answer: To the client, or to the neighbour.
    """

    delta: Cart | None
    source: str = ""
    operation: int = 0
    answer: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a replica finds on its disk.

    Args:
        identity: Its name in dots.
        cart: The durable state.
        answers: Client operation -> its answer, oldest first.
    """

    identity: str
    cart: Cart
    answers: Mapping[int, Any] = field(default_factory=dict)


def neighbours_of(name: str, nodes: Sequence[str]) -> tuple[str, ...]:
    """Those 1, 2, 4, 8 … places away in the ring of all nodes, both ways: any node is at most log2 n of them away."""
    place, count = nodes.index(name), len(nodes)
    steps = [1 << power for power in range(count.bit_length()) if 1 << power < count]
    found = [nodes[(place + sign * step) % count] for step in steps for sign in (1, -1)]
    return tuple(node for node in dict.fromkeys(found) if node != name)


class Replica:
    """The cart of one node in one life.

    Args:
        stored: What it begins with.
        neighbours: With whom it keeps in step.
        life: A number that no other life of the node has.
        max_deltas, max_operations: See `config.Config`.
    """

    def __init__(self, stored: Stored, *, neighbours: Sequence[str], life: int, max_deltas: int, max_operations: int) -> None:
        self.identity = stored.identity
        self.cart = stored.cart
        self.deltas = Deltas(neighbours, max_deltas)
        self._draft = stored.cart
        self._life = life
        self._answers = dict(stored.answers)
        self._max_operations = max_operations
        self._heard: dict[str, tuple[int, int]] = {}
        self._questions = 0
        self._void: dict[str, int] = {}

    # Clients

    def add(self, operation: int, item: str, quantity: int) -> Write:
        """Put so many more of an item into the cart."""
        return self._once(operation, self._draft.add(self.identity, item, quantity, operation), None)

    def remove(self, operation: int, item: str) -> Write:
        """Take out what is seen of an item here; the answer names the adds that were."""
        return self._once(operation, self._draft.take_out(self.identity, item), self._draft.operations(item))

    def _once(self, operation: int, delta: Cart, answer: Any) -> Write:
        if operation in self._answers:
            return Write(delta=None, answer=self._answers[operation])
        self._draft = self._draft.merge(delta)
        if operation:
            self._answers[operation] = answer
            while len(self._answers) > self._max_operations:
                del self._answers[next(iter(self._answers))]
        return Write(delta=delta, operation=operation, answer=answer)

    def stats(self) -> dict[str, int]:
        """How much is in the cart, how many numbers are kept for it, and the digest of all that was added, removed and seen."""
        digest = zlib.crc32(packed(self.cart.to_json()))
        return {"live": sum(self.cart.quantities().values()), "metadata": self.cart.size + len(self.deltas), "digest": digest}

    # Neighbours

    def interval_for(self, peer: str) -> Interval | None:
        """What the neighbour does not have yet; None: nothing."""
        needed = self.deltas.needed_by(peer)
        if needed == []:
            return None
        self._questions += 1
        return Interval(
            question=self._questions,
            life=self._life,
            first=self.deltas.first_for(peer),
            last=self.deltas.last,
            cart=self.cart if needed is None else _together(needed),
        )

    def hear(self, peer: str, interval: Interval) -> Write:
        """Deltas of a neighbour. After a gap nothing is merged: what is between would be missing for ever."""
        life, reached = self._heard.get(peer, (0, 0))
        if life != interval.life:
            reached, self._void[peer] = 0, self._questions
            self.deltas.met(peer, interval.life)
        if self.has_gap(interval, reached):
            return Write(delta=None, answer=Ack(question=interval.question, life=self._life, reached=reached))
        self._heard[peer] = (interval.life, max(reached, interval.last))
        self.deltas.told(peer, interval.cart)
        new = not interval.cart.leq(self._draft)
        if new:
            self._draft = self._draft.merge(interval.cart)
        ack = Ack(question=interval.question, life=self._life, reached=interval.last)
        return Write(delta=interval.cart if new else None, source=peer, answer=ack)

    def has_gap(self, interval: Interval, reached: int) -> bool:
        """Whether deltas between what is here and the interval are missing."""
        return interval.first > reached

    def acknowledged(self, peer: str, interval: Interval, ack: Ack) -> None:
        """The neighbour's answer to an interval. One that was under way when a new life of it was met is not counted."""
        if interval.question <= self._void.get(peer, 0):
            return
        if ack.reached < interval.first:
            self.deltas.forget(peer)
        else:
            self.deltas.acknowledged(peer, ack.life, ack.reached)

    # Disk

    def became_durable(self, write: Write) -> None:
        """Show it and hand it on."""
        if write.delta is not None:
            self.cart = self.cart.merge(write.delta)
            self.deltas.append(write.delta, write.source)

    def stored(self) -> Stored:
        """All that is durable, once every write is."""
        return Stored(identity=self.identity, cart=self.cart, answers=self._answers)


def _together(deltas: Sequence[Cart]) -> Cart:
    joined = deltas[0]
    for delta in deltas[1:]:
        joined = joined.merge(delta)
    return joined
