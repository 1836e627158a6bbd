"""A model network and disks for Raft cores: virtual time, one seed per run, every event checked.

Ongaro & Ousterhout 2014, figure 3, states the properties.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.core import Raft, Role
from reference_systems.raft_kv.log import RaftLog
from reference_systems.raft_kv.messages import Entry, Message
from reference_systems.raft_kv.replica import Appended, HardState, Stored, Write
from reference_systems.raft_kv.state_machine import StateMachine
from reference_systems.raft_kv.wire import decode, to_frame

MAX_SESSIONS = 64


def stored_after(stored: Stored, write: Write) -> Stored:
    """What a disk holds when one more write has reached it."""
    log = RaftLog(base_index=stored.base_index, base_term=stored.base_term, entries=stored.entries)
    hard_state, snapshot = stored.hard_state, stored.snapshot
    if isinstance(write, HardState):
        hard_state = write
    elif isinstance(write, Appended):
        if write.first <= log.last_index:
            log.truncate_from(write.first)
        log.append(write.entries)
    else:
        hard_state, snapshot = write.hard_state, write.snapshot
        log = RaftLog(base_index=write.base_index, base_term=write.base_term, entries=write.entries)
    return Stored(
        hard_state=hard_state,
        snapshot=snapshot,
        base_index=log.base_index,
        base_term=log.base_term,
        entries=log.between(log.base_index + 1, log.last_index),
    )


@dataclass(kw_only=True)
class Server:
    """One server of the model: the core, its state machine, its disk."""

    name: str
    raft: Raft
    machine: StateMachine
    stored: Stored = field(default_factory=Stored)
    life: int = 0
    alive: bool = True
    rate: float = 1.0
    writing: list[Write] = field(default_factory=list)
    checked_term: int = 0


@dataclass(kw_only=True)
class Faults:
    """How bad the model network and disks are."""

    drop: float = 0.0
    double: float = 0.0
    slow: float = 0.0
    slow_disk: float = 0.0


class Model:
    """N cores on a virtual network; every event is checked."""

    def __init__(self, count: int, seed: int, config: Config | None = None) -> None:
        self.rng = random.Random(seed)
        self.config = config or Config(
            snapshot_every_entries=20, snapshot_keep_entries=5, chunk_bytes=200, batch_entries=1 + 7 * (seed % 2)
        )
        self.names = [f"n{i}" for i in range(1, count + 1)]
        self.now = 0.0
        self.faults = Faults()
        self.cut: dict[tuple[str, str], bool] = {}
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self.servers: dict[str, Server] = {}
        self.leaders: dict[int, str] = {}
        self.applied: dict[int, Entry] = {}
        self.committed_in: dict[int, int] = {}
        self.states: dict[int, bytes] = {}
        self.voters = frozenset(self.names[: int(self.config.voters) or None])
        self.answers: dict[tuple[str, int, int], tuple[int, Callable[[dict[str, Any] | None], None]]] = {}
        self.reads: dict[tuple[str, int], Callable[[str | None], None]] = {}
        self.sent: list[tuple[str, str, Message]] = []
        self.tokens = itertools.count(1)
        for name in self.names:
            self.servers[name] = self._born(name, Stored(), 0)

    def clock(self, server: Server) -> float:
        """What the server's own clock shows."""
        return self.now * server.rate

    def _born(self, name: str, stored: Stored, life: int) -> Server:
        # Where clocks must not differ by more than a share, they differ by nearly as much.
        drift = 0.45 * self.config.lease_drift if self.config.lease_ms else 0.0
        rate = 1.0 + drift * (-1) ** self.names.index(name)
        raft = Raft(
            name=name,
            nodes=self.names,
            config=self.config,
            rng=random.Random(f"{self.rng.random()}"),
            stored=stored,
            now=self.now * rate,
        )
        server = Server(name=name, raft=raft, machine=StateMachine(MAX_SESSIONS), stored=stored, life=life, rate=rate)
        self.servers[name] = server
        self.at(self.now, lambda: self._tick(server))
        return server

    def at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), call))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Advance virtual time; True as soon as `until` holds."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, call = heapq.heappop(self._queue)
            call()
            if until():
                return True
        self.now = end
        return until()

    # One server's life

    def _tick(self, server: Server) -> None:
        if server.alive:
            server.raft.tick(self.clock(server))
            self.settle(server)
            self.at(self.now + 0.02, lambda: self._tick(server))

    def settle(self, server: Server) -> None:
        """What `node.RaftNode` does after an event, with checks."""
        raft = server.raft
        self._check_leader(server)
        for peer, message in raft.take_messages():
            self._transmit(server, peer, message)
        restore = raft.take_restore()
        if restore:
            server.machine.load(restore.state)
            self._check_state(server, restore.index)
        for index, entry in raft.take_committed():
            self._apply(server, index, entry)
        for token in raft.take_reads():
            self.reads.pop((server.name, token), lambda _: None)(server.name)
        covered = raft.replica.snapshot.index if raft.replica.snapshot else 0
        if raft.applied - covered >= self.config.snapshot_every_entries:
            raft.save_snapshot(server.machine.dump())
        if raft.replica.has_writes and not server.writing:
            self._write(server)

    def _apply(self, server: Server, index: int, entry: Entry) -> None:
        if index not in self.applied:
            self.applied[index] = entry
            self._check_members(entry)
            self.committed_in[index] = server.raft.term
            for other in self.servers.values():
                if other.alive and other.raft.role is Role.LEADER:
                    self._check_holds(other, index)
        self.check_leases()
        first = self.applied[index]
        assert first == entry, f"State Machine Safety: {server.name} applies another entry at {index}"
        answer = server.machine.apply(index, entry.data)
        self._check_state(server, index)
        asked = self.answers.pop((server.name, server.life, index), None)
        if asked:
            term, tell = asked
            tell(answer if entry.term == term else None)

    def _check_members(self, entry: Entry) -> None:
        """Committed memberships follow one another by one server, so that their majorities overlap."""
        if entry.members is not None:
            changed = self.voters ^ frozenset(entry.members)
            assert len(changed) <= 1, f"from {sorted(self.voters)} to {sorted(entry.members)} in one step"
            self.voters = frozenset(entry.members)

    def check_leases(self) -> None:
        """Who holds a lease knows of everything that anybody applied."""
        for server in self.servers.values():
            if server.alive and server.raft.holds_lease(self.clock(server)):
                last = max(self.applied, default=0)
                assert server.raft.replica.commit >= last, f"{server.name} holds a lease but does not know entry {last}"

    def _check_state(self, server: Server, index: int) -> None:
        state = server.machine.dump()
        assert self.states.setdefault(index, state) == state, f"{server.name} has another state after entry {index}"

    def _check_leader(self, server: Server) -> None:
        raft = server.raft
        if raft.role is Role.LEADER:
            first = self.leaders.setdefault(raft.term, server.name)
            assert first == server.name, f"Election Safety: {first} and {server.name} both lead term {raft.term}"
            if server.checked_term < raft.term:
                server.checked_term = raft.term
                for index in self.applied:
                    self._check_holds(server, index)

    def _check_holds(self, server: Server, index: int) -> None:
        """Leader Completeness, for one entry and a leader of a term after the one in which it was committed."""
        entry, log = self.applied[index], server.raft.replica.log
        if self.committed_in[index] < server.raft.term and index > log.base_index:
            assert index <= log.last_index, f"Leader Completeness: {server.name} misses entry {index}"
            assert log.entry(index) == entry, f"Leader Completeness: {server.name} has another entry {index}"

    def _write(self, server: Server) -> None:
        number, writes = server.raft.take_writes()
        server.writing = writes

        def done(life: int = server.life) -> None:
            if server.alive and server.life == life:
                for write in writes:
                    server.stored = stored_after(server.stored, write)
                server.writing = []
                server.raft.became_durable(number, self.clock(server))
                self.settle(server)

        slowest = 0.3 if self.rng.random() < self.faults.slow_disk else 0.01
        self.at(self.now + self.rng.uniform(0.0005, slowest), done)

    def crash(self, name: str) -> None:
        """kill -9: of the write under way any prefix may have reached the disk."""
        server = self.servers[name]
        if server.alive:
            server.alive = False
            for write in server.writing[: self.rng.randint(0, len(server.writing))]:
                server.stored = stored_after(server.stored, write)

    def restart(self, name: str) -> None:
        server = self.servers[name]
        if not server.alive:
            fresh = self._born(name, server.stored, server.life + 1)
            self.settle(fresh)
            for peer in self.names:
                if peer != name:
                    self._connected(peer, name)
                    self._connected(name, peer)

    def _connected(self, one: str, other: str) -> None:
        server = self.servers[one]
        if server.alive:
            server.raft.connected(other, self.clock(server))
            self.settle(server)

    def _transmit(self, server: Server, peer: str, message: Message) -> None:
        self.sent.append((server.name, peer, message))
        if self.cut.get((server.name, peer)) or self.rng.random() < self.faults.drop:
            return
        wire = decode(to_frame(message, self.names.index(server.name) + 1))
        assert wire == message
        for _ in range(2 if self.rng.random() < self.faults.double else 1):
            delay = self.rng.uniform(0.001, 0.005)
            if self.rng.random() < self.faults.slow:
                delay += self.rng.uniform(0, 0.4)
            self.at(self.now + delay, lambda: self._deliver(server.name, peer, wire))

    def _deliver(self, sender: str, receiver: str, message: Message) -> None:
        server = self.servers[receiver]
        if server.alive and not self.cut.get((sender, receiver)):
            server.raft.receive(sender, message, self.clock(server))
            self.settle(server)

    # What tests ask

    def leader(self) -> Server | None:
        """The live leader of the highest term."""
        leading = [s for s in self.servers.values() if s.alive and s.raft.role is Role.LEADER]
        return max(leading, key=lambda s: s.raft.term, default=None)

    def elect(self) -> Server:
        assert self.run(10, lambda: self.leader() is not None), "no leader within 10 s"
        leader = self.leader()
        assert leader
        return leader

    def propose(self, server: Server, command: dict[str, Any], operation: int = 0) -> int | None:
        index = server.raft.propose(operation, json.dumps(command).encode(), self.clock(server))
        self.settle(server)
        return index

    def isolate(self, groups: Iterable[Iterable[str]]) -> None:
        """Cut every pair of servers that are in different groups."""
        group_of = {name: number for number, group in enumerate(groups) for name in group}
        self.cut = {(a, b): True for a in self.names for b in self.names if a != b and group_of[a] != group_of[b]}

    def check_logs(self) -> None:
        """Log Matching: same index and term, then equal up to there."""
        logs = [server.raft.replica.log for server in self.servers.values() if server.alive]
        for one, other in itertools.combinations(logs, 2):
            low = max(one.base_index, other.base_index)
            top = min(one.last_index, other.last_index)
            while top > low and one.term_at(top) != other.term_at(top):
                top -= 1
            assert one.between(low + 1, top) == other.between(low + 1, top)


def settled_leader(model: Model) -> Server:
    """A leader whose first entry is committed and known everywhere, and whose links are idle."""
    leader = model.elect()
    model.run(0.5)
    return leader
