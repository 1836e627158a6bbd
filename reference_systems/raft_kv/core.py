"""The Raft server as a pure state machine: events and the time in; messages, writes, entries to apply out.

Ongaro & Ousterhout 2014, figure 2, with the thesis's (2014) ReadIndex (§6.4), check quorum (§6.2) and
snapshots (chapter 5). Whoever drives it, after each event: sends `take_messages`, makes `take_writes`
durable in order and reports it, loads `take_restore`, applies `take_committed`, answers `take_reads`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.follower import SnapshotReceiver, accept_append
from reference_systems.raft_kv.leadership import Leadership
from reference_systems.raft_kv.log import Snapshot
from reference_systems.raft_kv.messages import (
    Append,
    AppendOk,
    Entry,
    Heartbeat,
    HeartbeatOk,
    Message,
    ReadIndex,
    ReadIndexOk,
    SnapshotChunk,
    SnapshotOk,
    Vote,
    VoteOk,
)
from reference_systems.raft_kv.replica import Replica, Stored, Write
from reference_systems.raft_kv.voters import Voters

__all__ = ["Raft", "Role"]


class Role(StrEnum):
    """What a server is."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Raft:
    """One server.

    Args:
        name: This server.
        nodes: All servers, itself included.
        config: Timeouts and sizes.
        rng: Draws election timeouts.
        stored: What it found on its disk.
        now: Monotonic seconds, as in every call.
    """

    replica_type: type[Replica] = Replica
    leadership_type: type[Leadership] = Leadership

    def __init__(
        self, *, name: str, nodes: Sequence[str], config: Config, rng: random.Random, stored: Stored, now: float
    ) -> None:
        self.name = name
        self.peers = tuple(node for node in nodes if node != name)
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.replica = self.replica_type(stored, Voters(tuple(nodes)))
        self.applied = 0
        self._restore = stored.snapshot
        if stored.snapshot:
            self.applied = stored.snapshot.index
        self._config = config
        self._rng = rng
        self._votes: dict[str, bool] = {}
        self._leading: Leadership | None = None
        self._receiver = SnapshotReceiver()
        self._last_tick = now
        self._election_due = now + rng.uniform(*(config.election_s if self.replica.term else config.first_election_s))

    # What the driver reads and asks

    @property
    def term(self) -> int:
        """The current term."""
        return self.replica.term

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, as far as known now."""
        return self._leading.heartbeat_due if self._leading else self._election_due

    def propose(self, operation: int, data: bytes, now: float) -> int | None:
        """Add a command to the log; returns its index, or None when this is not the leader.

        The command is committed if the entry that is applied at that index has the present term.
        """
        if self._leading is None:
            return None
        return self._leading.add(Entry(term=self.term, operation=operation, data=data), now)

    def read(self, token: int, operation: int) -> bool:
        """Ask for a linearizable read; False when this is not the leader. The token comes back by `take_reads`."""
        if self._leading is None:
            return False
        self._leading.read(token, operation)
        return True

    def save_snapshot(self, data: bytes) -> None:
        """`data` is the state after all entries handed out so far; forget the log behind it."""
        snapshot = Snapshot(index=self.applied, term=self._term_of_applied(), data=data)
        self.replica.save_snapshot(snapshot, keep_entries=int(self._config.snapshot_keep_entries))

    def _term_of_applied(self) -> int:
        term = self.replica.log.term_at(self.applied)
        if term is None:
            raise AssertionError(f"entry {self.applied} was applied but is not in the log")
        return term

    def take_messages(self) -> list[tuple[str, Message]]:
        """Messages to send now."""
        return self.replica.take_messages()

    def take_writes(self) -> tuple[int, list[Write]]:
        """Writes to make durable, and the number to report to `became_durable`."""
        return self.replica.take_writes()

    def take_restore(self) -> Snapshot | None:
        """A snapshot that replaces the state machine, before anything else is applied."""
        restore, self._restore = self._restore, None
        return restore

    def take_committed(self) -> list[tuple[int, Entry]]:
        """Entries to apply, in order, each once."""
        if self.replica.commit <= self.applied:
            return []
        first, self.applied = self.applied + 1, self.replica.commit
        return list(enumerate(self.replica.log.between(first, self.applied), start=first))

    def take_reads(self) -> list[int]:
        """Tokens whose reads may be answered from the state with all of `take_committed` applied."""
        if self._leading is None or not self._leading.answered:
            return []
        answered, self._leading.answered = self._leading.answered, []
        return answered

    # Events

    def became_durable(self, number: int, now: float) -> None:
        """All writes up to `number` are durable."""
        self.replica.became_durable(number)
        if self._leading:
            self._leading.advance()
        elif self.role is Role.CANDIDATE:
            self._count_votes(now)

    def connected(self, peer: str, now: float) -> None:
        """A new connection to `peer` stands; what was on its way before may be lost."""
        if self._leading:
            self._leading.on_connected(peer, now)
        elif self.role is Role.CANDIDATE and peer not in self._votes:
            self._ask_vote(peer)

    def tick(self, now: float) -> None:
        """Time has passed. A server that did not run itself (stopped, starved) blames nobody for the silence."""
        asleep = now - self._last_tick > self._config.election_s[0]
        self._last_tick = now
        if self._leading:
            if asleep:
                self._leading.forgive(now)
            if self._leading.lost_quorum(now):
                self._follow(self.term, None, now)
            else:
                self._leading.tick(now)
        elif asleep:
            self._await_leader(now)
        elif now >= self._election_due:
            self._campaign(now)

    def receive(self, sender: str, message: Message, now: float) -> None:
        """A message of a peer."""
        if message.term > self.term:
            self._follow(message.term, None, now)
        if isinstance(message, Vote):
            self._on_vote(sender, message, now)
        elif isinstance(message, (Append, Heartbeat, ReadIndex, SnapshotChunk)):
            if message.term == self.term:
                self._follow(self.term, sender, now)
            self._on_leader_message(sender, message)
        elif message.term == self.term:
            self._on_reply(sender, message, now)

    def _on_leader_message(self, sender: str, message: Append | Heartbeat | ReadIndex | SnapshotChunk) -> None:
        replica, current = self.replica, message.term == self.term
        if isinstance(message, Append):
            stale = AppendOk(term=self.term, seq=message.seq, ok=False)
            replica.send_when_durable(sender, self._accept(message) if current else stale)
        elif isinstance(message, SnapshotChunk):
            replica_offset = self._on_chunk(message) if current else 0
            replica.send_when_durable(sender, SnapshotOk(term=self.term, seq=message.seq, offset=replica_offset))
        elif isinstance(message, Heartbeat):
            if current:
                replica.commit = max(replica.commit, min(message.commit, replica.log.last_index))
            replica.send_when_term_durable(sender, HeartbeatOk(term=self.term, round=message.round))
        else:
            ok = ReadIndexOk(term=self.term, round=message.round, operations=message.operations)
            replica.send_when_term_durable(sender, ok)

    def _accept(self, message: Append) -> AppendOk:
        return accept_append(self.replica, message)

    def _on_chunk(self, chunk: SnapshotChunk) -> int:
        if chunk.index <= self.replica.commit:
            return chunk.total  # all of it is here already
        offset, snapshot = self._receiver.add(chunk)
        if snapshot:
            self._install(snapshot)
        return offset

    def _install(self, snapshot: Snapshot) -> None:
        self.replica.install_snapshot(snapshot)
        self.applied, self._restore = snapshot.index, snapshot

    def _on_reply(self, sender: str, message: Message, now: float) -> None:
        if isinstance(message, VoteOk):
            if self.role is Role.CANDIDATE and message.granted:
                self._votes[sender] = True
                self._count_votes(now)
        elif self._leading:
            round_ = message.round if isinstance(message, (HeartbeatOk, ReadIndexOk)) else 0
            self._leading.heard(sender, round_, now)
            if isinstance(message, AppendOk):
                self._leading.on_append_ok(sender, message, now)
            elif isinstance(message, SnapshotOk):
                self._leading.on_snapshot_ok(sender, message, now)

    # Elections

    def _await_leader(self, now: float) -> None:
        self._election_due = now + self._timeout_s()

    def _timeout_s(self) -> float:
        return self._rng.uniform(*self._config.election_s)

    def _follow(self, term: int, leader: str | None, now: float) -> None:
        if term > self.term:
            self.replica.set_term(term, "")
        if self._leading and leader:
            self._meet(leader, term)
        if leader or self._leading:
            self._await_leader(now)
        self.role, self.leader, self._leading = Role.FOLLOWER, leader, None

    def _meet(self, leader: str, term: int) -> None:
        """Another leader of the own term: what it says would not be what this one acknowledged."""
        raise AssertionError(f"{leader} leads term {term}, and so does {self.name}")

    def _campaign(self, now: float) -> None:
        self.role, self.leader = Role.CANDIDATE, None
        self.replica.set_term(self.term + 1, self.name)
        self._votes = {}
        self._await_leader(now)
        for peer in self.peers:
            self._ask_vote(peer)

    def _ask_vote(self, peer: str) -> None:
        log = self.replica.log
        vote = Vote(term=self.term, last_index=log.last_index, last_term=log.last_term)
        self.replica.send_when_term_durable(peer, vote)

    def _on_vote(self, candidate: str, ask: Vote, now: float) -> None:
        """Grant one vote per term, and only to a log at least as up to date as ours (§5.4.1)."""
        replica = self.replica
        granted = ask.term == self.term and self._up_to_date(ask) and self._may_vote_for(candidate)
        if granted:
            if not replica.vote:
                replica.set_term(self.term, candidate)
            self._await_leader(now)
        replica.send_when_durable(candidate, VoteOk(term=self.term, granted=granted))

    def _up_to_date(self, ask: Vote) -> bool:
        log = self.replica.log
        return (ask.last_term, ask.last_index) >= (log.last_term, log.last_index)

    def _may_vote_for(self, candidate: str) -> bool:
        return self.replica.vote in ("", candidate)

    def _count_votes(self, now: float) -> None:
        """The own vote counts when it is durable."""
        own = [self.name] if self.replica.durable >= self.replica.hard_written else []
        if self.replica.voters.are_majority([*self._votes, *own]):
            self.role, self.leader = Role.LEADER, self.name
            self._leading = self.leadership_type(self.replica, self._config, self.name, self.peers, now)
