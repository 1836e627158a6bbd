"""Replicas of the cart without a world: messages are lost, doubled and late, nodes crash and lose disks; all from one seed."""

from __future__ import annotations

import json
import random
from typing import Any

from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.core import Replica, Stored, Write, neighbours_of
from reference_systems.crdt_cart.messages import Ack, Interval

__all__ = ["Model"]

ITEMS = ("book", "pen", "cup")


class Machine:
    """A replica, its disk and what it has not made durable yet."""

    def __init__(self, name: str, nodes: tuple[str, ...], rng: random.Random, most: int, stored: Stored | None = None) -> None:
        self.name, self.nodes, self.rng, self.most = name, nodes, rng, most
        self.disk = stored or Stored(identity=f"{name}.{rng.getrandbits(40)}", cart=Cart())
        self.replica = Replica(
            self.disk, neighbours=neighbours_of(name, nodes), life=rng.getrandbits(40), max_deltas=most, max_operations=50
        )
        self.waiting: list[tuple[Write, Any]] = []

    def crashed(self, *, disk_lost: bool) -> Machine:
        """It again, with what its disk held."""
        return Machine(self.name, self.nodes, self.rng, self.most, None if disk_lost else self.disk)


class Model:
    """All replicas and the messages between them.

    Attributes:
        acknowledged: Operation id of each add that a client was told of -> its quantity.
        taken: Operation ids that acknowledged removes took away.
        lost: Operation ids that a lost disk may have held alone.
    """

    def __init__(self, seed: int, nodes: int = 3, most: int = 8) -> None:
        self.rng = random.Random(seed)
        self.nodes = tuple(f"n{number}" for number in range(1, nodes + 1))
        self.machines = {name: Machine(name, self.nodes, self.rng, most) for name in self.nodes}
        self.flying: list[tuple[str, str, Interval, Ack | None]] = []
        self.acknowledged: dict[int, int] = {}
        self.taken: set[int] = set()
        self.operations = 0

    def step(self) -> None:
        """Anything that can happen."""
        name, kind = self.rng.choice(self.nodes), self.rng.random()
        if kind < 0.2:
            self._shop(self.machines[name])
        elif kind < 0.45:
            self.flush(self.machines[name])
        elif kind < 0.65:
            self.offer(name, self.rng.choice(neighbours_of(name, self.nodes)))
        elif kind < 0.98:
            self._deliver()
        else:
            self.machines[name] = self.machines[name].crashed(disk_lost=False)

    def _shop(self, machine: Machine) -> None:
        self.operations += 1
        item = self.rng.choice(ITEMS)
        if self.rng.random() < 0.7:
            machine.waiting.append((machine.replica.add(self.operations, item, self.operations), self.operations))
        else:
            machine.waiting.append((machine.replica.remove(self.operations, item), None))

    def flush(self, machine: Machine) -> None:
        """One group commit: what waits becomes durable, and is answered."""
        waiting, machine.waiting = machine.waiting, []
        for write, told in waiting:
            machine.replica.became_durable(write)
            if isinstance(told, int):
                self.acknowledged[told] = told
            elif told is not None:
                source, target, interval = told
                self.flying.append((source, target, interval, write.answer))
            else:
                self.taken.update(write.answer)
        stored = machine.replica.stored()
        machine.disk = Stored(identity=stored.identity, cart=stored.cart, answers=dict(stored.answers))

    def offer(self, source: str, target: str) -> None:
        """Send the neighbour what it needs, if anything."""
        interval = self.machines[source].replica.interval_for(target)
        if interval:
            self.flying.append((source, target, interval, None))

    def _deliver(self) -> None:
        if not self.flying:
            return
        place = self.rng.randrange(len(self.flying))
        fate = self.rng.random()
        message = self.flying[place] if fate < 0.15 else self.flying.pop(place)
        if fate < 0.85:
            self.arrive(*message)

    def arrive(self, source: str, target: str, interval: Interval, ack: Ack | None) -> None:
        """An interval at its target, or its acknowledgement back at the source."""
        if ack is not None:
            if interval.life == self.machines[source].replica._life:  # else its connection died with the life that asked
                self.machines[source].replica.acknowledged(target, interval, ack)
            return
        machine = self.machines[target]
        heard = Interval(**{**_fields(interval), "cart": Cart.of_json(json.loads(json.dumps(interval.cart.to_json())))})
        machine.waiting.append((machine.replica.hear(source, heard), (source, target, interval)))

    def settle(self) -> None:
        """Everything is well again, until nobody has anything to say."""
        self.flying.clear()
        for _ in range(20):
            for name in self.nodes:
                self.flush(self.machines[name])
                for peer in neighbours_of(name, self.nodes):
                    self.offer(name, peer)
            while self.flying:
                self.arrive(*self.flying.pop(0))
                for machine in self.machines.values():
                    self.flush(machine)

    @property
    def carts(self) -> list[Cart]:
        """What each replica holds durably."""
        return [machine.replica.cart for machine in self.machines.values()]


def _fields(interval: Interval) -> dict[str, Any]:
    return {name: getattr(interval, name) for name in interval.__dataclass_fields__}
