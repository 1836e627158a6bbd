"""What a node remembers over a crash: the fold of its records. Pure.

Every change is a record that is applied here at once and written to the log; a start applies the log again. So there is
one place where a record means something.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from reference_systems.payments_2pc.journal import Record
from reference_systems.payments_2pc.messages import Leg, coordinator_of, place_of

__all__ = ["Coordinated", "Prepared", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A promise: this node voted yes and does whatever the coordinator decides.

    Args:
        operation: The client operation it serves.
        key: The idempotency key; None for reads.
        legs, reads: What is locked: to write, to read.
    """

    operation: int
    key: str | None
    legs: tuple[Leg, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinated:
    """A transaction of this coordinator that is not forgotten yet.

    Args:
        operation: The client operation it serves.
        participants: Who must learn the decision.
        commit: The decision; None: votes are being collected (logged with presumed commit only).
    """

    operation: int
    participants: tuple[str, ...]
    commit: bool | None


@dataclass(slots=True, kw_only=True)
class State:
    """Everything durable of one node.

    Args:
        balances: Account -> money, decided changes only.
        remembered: Most finished transactions, and keys, that are kept; the oldest go first.
        incarnation: How often the node was started.
        prepared: Promises in force, by transaction.
        finished: Transaction -> whether it committed, as a participant.
        charges: Idempotency key -> [times applied here, the legs].
        coordinating: Unforgotten transactions of this coordinator.
        coordinated: Transaction -> [whether it committed, who was enlisted]; for reports, the protocol asks `coordinating`.
        floors: Coordinator -> place of its youngest transaction that was dropped from `finished`.
        forgotten: How many finished transactions and keys were dropped.
    """

    balances: dict[str, int]
    remembered: int = 10_000
    incarnation: int = 0
    prepared: dict[str, Prepared] = field(default_factory=dict)
    finished: dict[str, bool] = field(default_factory=dict)
    charges: dict[str, tuple[int, tuple[Leg, ...]]] = field(default_factory=dict)
    coordinating: dict[str, Coordinated] = field(default_factory=dict)
    coordinated: dict[str, tuple[bool, tuple[str, ...]]] = field(default_factory=dict)
    floors: dict[str, tuple[int, int]] = field(default_factory=dict)
    forgotten: int = 0

    def apply(self, record: Record) -> None:
        """Do what a record says."""
        kind, tx = record["kind"], record.get("tx", "")
        if kind == "boot":
            self.incarnation = record["incarnation"]
        elif kind == "prepared":
            legs, reads = _legs(record["legs"]), tuple(record["reads"])
            self.prepared[tx] = Prepared(operation=record["operation"], key=record["key"], legs=legs, reads=reads)
        elif kind == "decided":
            self._decide(tx, record["commit"])
        elif kind == "end":
            self.coordinating.pop(tx, None)
        else:
            self._coordinate(kind, tx, record)

    def _decide(self, tx: str, commit: bool) -> None:
        promise = self.prepared.pop(tx, None)
        self.finished[tx] = commit
        if promise and commit:
            for account, amount in promise.legs:
                self.balances[account] += amount
            if promise.key is not None:
                times, _ = self.charges.pop(promise.key, (0, ()))
                self.charges[promise.key] = (times + 1, promise.legs)
        self._forget()

    def _coordinate(self, kind: str, tx: str, record: Record) -> None:
        commit = {"collecting": None, "commit": True, "abort": False}[kind]
        participants = tuple(record["participants"])
        if commit is not None:
            self.coordinated[tx] = (commit, tuple(record["enlisted"]))
        if participants:
            self.coordinating[tx] = Coordinated(operation=record["operation"], participants=participants, commit=commit)
        self._forget()

    def _forget(self) -> None:
        """Keep memories bounded. A transaction older than a dropped one is never taken for a new one: see `floors`."""
        while len(self.finished) > self.remembered:
            tx = next(iter(self.finished))
            del self.finished[tx]
            floor = self.floors.get(coordinator_of(tx), (0, 0))
            self.floors[coordinator_of(tx)] = max(floor, place_of(tx))
            self.forgotten += 1
        for memory in (self.charges, self.coordinated):
            while len(memory) > self.remembered:
                del memory[next(iter(memory))]
                self.forgotten += 1

    def dump(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "incarnation": self.incarnation,
            "balances": self.balances,
            "prepared": [[tx, one.operation, one.key, one.legs, one.reads] for tx, one in self.prepared.items()],
            "finished": self.finished,
            "charges": self.charges,
            "coordinating": [[tx, one.operation, one.participants, one.commit] for tx, one in self.coordinating.items()],
            "coordinated": self.coordinated,
            "floors": self.floors,
            "forgotten": self.forgotten,
        }

    def load(self, plain: dict[str, Any]) -> None:
        """Become what `dump` gave."""
        self.incarnation, self.forgotten = plain["incarnation"], plain["forgotten"]
        self.balances, self.finished = plain["balances"], plain["finished"]
        self.prepared = {
            tx: Prepared(operation=operation, key=key, legs=_legs(legs), reads=tuple(reads))
            for tx, operation, key, legs, reads in plain["prepared"]
        }
        self.charges = {key: (times, _legs(legs)) for key, (times, legs) in plain["charges"].items()}
        self.coordinating = {
            tx: Coordinated(operation=operation, participants=tuple(participants), commit=commit)
            for tx, operation, participants, commit in plain["coordinating"]
        }
        self.coordinated = {tx: (commit, tuple(nodes)) for tx, (commit, nodes) in plain["coordinated"].items()}
        self.floors = {node: (incarnation, number) for node, (incarnation, number) in plain["floors"].items()}

    def encode(self) -> bytes:
        """The bytes of `dump`."""
        return json.dumps(self.dump(), separators=(",", ":")).encode()


def _legs(pairs: Iterable[Any]) -> tuple[Leg, ...]:
    return tuple((account, amount) for account, amount in pairs)
