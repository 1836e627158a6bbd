"""Several payment nodes in one place, without clock, network or disk: a test decides what arrives, what is lost, who dies."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from reference_systems.payments_2pc.config import Config, Placement
from reference_systems.payments_2pc.core import Payments
from reference_systems.payments_2pc.journal import Record
from reference_systems.payments_2pc.messages import Message, decode, to_frame
from reference_systems.payments_2pc.requests import Request
from reference_systems.payments_2pc.state import State

NODES = ("n1", "n2", "n3")


class Model:
    """Nodes, messages on their way, and what is on the disks.

    Args:
        options: Those of the service.
    """

    def __init__(self, nodes: Sequence[str] = NODES, **options: Any) -> None:
        self.nodes = tuple(nodes)
        self.config = Config.of(options)
        self.now = 0.0
        self.flying: list[tuple[str, str, Message]] = []
        self.answers: dict[int, dict[str, Any]] = {}
        self._disks: dict[str, list[Record]] = {name: [] for name in nodes}
        self._tokens = 0
        self.alive: dict[str, Payments] = {}
        for name in nodes:
            self.start(name)

    def start(self, name: str) -> None:
        """A life of a node, from what is on its disk."""
        accounts = Placement(self.nodes, self.config).held_by(name)
        state = State(balances=dict.fromkeys(accounts, self.config.initial), remembered=self.config.remembered)
        for record in self._disks[name]:
            state.apply(record)
        boot = {"kind": "boot", "incarnation": state.incarnation + 1}
        state.apply(boot)
        self._disks[name].append(boot)
        self.alive[name] = Payments(name=name, nodes=self.nodes, config=self.config, state=state, now=self.now)
        self._collect(name)

    def crash(self, name: str) -> None:
        """It dies, and what travels to or from it, and what was not synced, is lost; it starts again."""
        self.flying = [one for one in self.flying if name not in one[:2]]
        self.start(name)

    def ask(self, node: str, request: Request) -> int:
        """A client asks; the answer comes into `answers` under the token."""
        self._tokens += 1
        self.alive[node].ask(self._tokens, self._tokens, request, self.now)
        self._collect(node)
        return self._tokens

    def deliver(self, at: int = 0, *, keep: bool = False) -> None:
        """One message arrives; `keep`: it will arrive once more."""
        sender, receiver, message = self.flying[at] if keep else self.flying.pop(at)
        frame = to_frame(message, 1)
        assert decode(frame) == message
        self.alive[receiver].receive(sender, message, self.now)
        self._collect(receiver)

    def sync(self, name: str) -> None:
        """What the node wrote is on its disk."""
        number, records = self.alive[name].journal.take()
        self._disks[name] += json.loads(json.dumps(records))
        self.alive[name].became_durable(number, self.now)
        self._collect(name)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for name, node in self.alive.items():
            node.tick(self.now)
            self._collect(name)

    def settle(self, rounds: int = 60) -> None:
        """No more failures: everything arrives and is synced, and time passes."""
        for _ in range(rounds):
            while self.flying or any(node.journal.wants_sync for node in self.alive.values()):
                while self.flying:
                    self.deliver()
                for name in self.nodes:
                    self.sync(name)
            self.wait(0.1)

    def _collect(self, name: str) -> None:
        node = self.alive[name]
        self.flying += [(name, receiver, message) for receiver, message in node.take_messages()]
        self.answers.update(node.take_answers())

    # What can be seen

    def report(self, f: str) -> dict[str, dict[str, Any]]:
        """Node -> what it says."""
        return {name: node.report(f, self.now) for name, node in self.alive.items()}

    def money(self) -> dict[str, int]:
        """All balances."""
        return {account: money for said in self.report("accounts").values() for account, money in said["balances"].items()}


def transfer(key: str, *legs: tuple[str, int]) -> Request:
    """A checked transfer."""
    return Request(f="transfer", key=key, legs=legs)


def storm(model: Model, rng: random.Random, steps: int) -> None:
    """Anything may happen: any order, loss, doubles, crashes, retries under the same key."""
    accounts = Placement(model.nodes, model.config).accounts
    for _ in range(steps):
        chance = rng.random()
        if chance < 0.12:
            payer, other, third = rng.sample(accounts, 3)
            amount = rng.randint(1, 60)
            legs = ((payer, -amount), (other, amount)) if chance < 0.08 else ((payer, -amount), (other, amount), (third, 0))
            key = f"k{rng.randint(1, 12)}"
            asked = transfer(key, *legs) if rng.random() < 0.8 else Request(f="total")
            coordinators = model.nodes if model.config.coordinator == "each" else (model.config.coordinator,)
            model.ask(rng.choice(coordinators), asked)
        elif chance < 0.55 and model.flying:
            model.deliver(rng.randrange(len(model.flying)), keep=rng.random() < 0.15)
        elif chance < 0.60 and model.flying:
            model.flying.pop(rng.randrange(len(model.flying)))
        elif chance < 0.85:
            model.sync(rng.choice(model.nodes))
        elif chance < 0.97:
            model.wait(rng.choice([0.01, 0.1, 0.4]))
        else:
            model.crash(rng.choice(model.nodes))
