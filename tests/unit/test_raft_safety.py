"""Raft's five safety properties, exactly-once and liveness on the model network, under every fault at once."""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from typing import Any

import pytest

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.core import Role
from tests.unit.raft_model import Faults, Model, Server


class Counter:
    """A client that increments a counter by cas and retries, each command with one session number."""

    def __init__(self, model: Model, rng: random.Random) -> None:
        self.model = model
        self.rng = rng
        self.session = 0
        self.number = 0
        self.done: list[int] = []
        self.pending: dict[str, Any] | None = None
        self.key = f"k{rng.random()}"
        model.at(model.now, self._step)

    def _step(self) -> None:
        leader = self.model.leader()
        server = leader if leader and self.rng.random() < 0.9 else self.rng.choice(list(self.model.servers.values()))
        if server.alive:
            self._ask(server)
        self.model.at(self.model.now + self.rng.uniform(0.02, 0.2), self._step)

    def _ask(self, server: Server) -> None:
        if not self.session:
            command: dict[str, Any] = {"f": "register"}
        else:
            if self.pending is None:
                self.number += 1
                self.pending = {
                    "f": "cas",
                    "key": self.key,
                    "value": [self.number - 1 or None, self.number],
                    "session": self.session,
                    "number": self.number,
                }
            command = self.pending
        index = self.model.propose(server, command, operation=self.rng.randrange(1, 2**40))
        if index is not None:
            tell = functools.partial(self._answered, command)
            self.model.answers[server.name, server.life, index] = (server.raft.term, tell)

    def _answered(self, command: dict[str, Any], answer: dict[str, Any] | None) -> None:
        if answer is None:
            return
        assert answer["status"] == "ok" or command is not self.pending, f"{command} was done twice: {answer}"
        if command["f"] == "register":
            self.session = self.session or answer["value"]
        elif command is self.pending:
            self.done.append(command["number"])
            self.pending = None


def wreck(model: Model) -> None:
    """One random fault, or the end of one."""
    rng = model.rng
    choice = rng.randrange(10)
    if choice == 0:
        model.crash(rng.choice(model.names))
    elif choice == 1:
        for name in model.names:
            model.restart(name)
    elif choice == 2:
        shuffled = rng.sample(model.names, len(model.names))
        at = rng.randrange(1, len(shuffled))
        model.isolate([shuffled[:at], shuffled[at:]])
    elif choice == 3:
        one, other = rng.sample(model.names, 2)
        model.cut[one, other] = True
    elif choice == 4:
        model.cut = {}
    elif choice == 5:
        for name in rng.sample(model.names, rng.randint(1, len(model.names))):
            model.crash(name)
            model.at(model.now + rng.choice((0.001, 0.02, 0.2)), functools.partial(model.restart, name))
    elif choice == 6:
        leader = model.leader()
        if leader:
            model.isolate([[leader.name], [name for name in model.names if name != leader.name]])
    elif choice == 7:
        leader = model.leader()
        if leader:
            leader.raft.hand_over(rng.choice(model.names), model.clock(leader))
            model.settle(leader)
    elif choice == 8:
        reconfigure(model)
    else:
        model.faults = Faults(
            drop=rng.choice((0, 0.05, 0.3)),
            double=rng.choice((0, 0.2)),
            slow=rng.choice((0, 0.1, 0.4)),
            slow_disk=rng.choice((0, 0, 0.2)),
        )


def reconfigure(model: Model) -> None:
    """Every leader there is, deposed or not, is told to let one server more vote, or one less; three stay."""
    for leader in [server for server in model.servers.values() if server.alive and server.raft.role is Role.LEADER]:
        names, other = leader.raft.replica.voters.names, model.rng.choice(model.names)
        wanted = [name for name in model.names if (name in names) != (name == other)]
        if len(wanted) >= min(3, len(model.names)):
            leader.raft.reconfigure(tuple(wanted), 0, model.clock(leader))
            model.settle(leader)


SMALL = Config(snapshot_every_entries=20, snapshot_keep_entries=5, chunk_bytes=200, batch_entries=8)
OPTIONS = {
    "defaults": SMALL,
    "one entry an append, no pre-vote": replace(SMALL, batch_entries=1, pre_vote=0),
    "pipeline": replace(SMALL, batch_entries=2, pipeline=4),
    "lease": replace(SMALL, lease_ms=140, lease_drift=0.05, pipeline=2),
}


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("options", OPTIONS)
def test_safe_under_every_fault_and_live_when_they_stop(count: int, options: str) -> None:
    """Election Safety, Log Matching, Leader Completeness, State Machine Safety, overlapping memberships and exactly-once
    hold all the time, and leases mean something; when the faults stop, a leader commits for every client soon."""
    for seed in range(6):
        model = Model(count, seed=seed * 10 + count, config=OPTIONS[options])
        clients = [Counter(model, random.Random(f"{seed}/{i}")) for i in range(3)]
        for _ in range(25):
            model.run(model.rng.uniform(0.05, 0.8))
            wreck(model)
            model.check_logs()
        model.cut, model.faults = {}, Faults()
        for name in model.names:
            model.restart(name)
        reached = [len(client.done) for client in clients]

        def progressed(clients: list[Counter] = clients, reached: list[int] = reached) -> bool:
            return all(len(client.done) >= before + 3 for client, before in zip(clients, reached, strict=True))

        assert model.run(10, progressed), f"seed {seed}: no progress after the faults stopped"
        for client in clients:
            assert client.done == list(range(1, len(client.done) + 1))
        model.check_logs()
