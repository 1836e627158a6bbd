"""The Raft server as a pure state machine: events and the time in; messages, writes, entries to apply out.

Ongaro & Ousterhout 2014, figure 2, with the thesis's (2014) ReadIndex and leases (§6.4), check quorum (§6.2), pre-vote
(§9.6), handing over (§3.10), membership change by one server (chapter 4) and snapshots (chapter 5). Whoever drives it,
after each event: sends `take_messages`, makes `take_writes` durable in order and reports it, loads `take_restore`, applies
`take_committed`, answers `take_reads`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.elections import Elections, Role
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
    PreVote,
    PreVoteOk,
    ReadIndex,
    ReadIndexOk,
    SnapshotChunk,
    SnapshotOk,
    TimeoutNow,
    Vote,
    VoteOk,
)
from reference_systems.raft_kv.replica import Stored, Write

__all__ = ["Raft", "Role"]


class Raft(Elections):
    """One server; arguments as for `Elections`."""

    leadership_type: type[Leadership] = Leadership

    def __init__(
        self, *, name: str, nodes: Sequence[str], config: Config, rng: random.Random, stored: Stored, now: float
    ) -> None:
        super().__init__(name=name, nodes=nodes, config=config, rng=rng, stored=stored, now=now)
        self.applied = stored.snapshot.index if stored.snapshot else 0
        self._restore = stored.snapshot
        self._leading: Leadership | None = None
        self._receiver = SnapshotReceiver()
        self._last_tick = now

    # What the driver reads and asks

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, as far as known now."""
        return self._leading.heartbeat_due if self._leading else self._election_due

    @property
    def handing_over(self) -> bool:
        """It leads, but takes no proposals: a successor is about to campaign."""
        return self._leading is not None and self._leading.successor is not None

    def propose(self, operation: int, data: bytes, now: float) -> int | None:
        """Add a command to the log; returns its index, or None when this is not the leader, or hands over.

        The command is committed if the entry that is applied at that index has the present term.
        """
        if self._leading is None or self.handing_over:
            return None
        return self._leading.add(Entry(term=self.term, operation=operation, data=data), now)

    def reconfigure(self, names: tuple[str, ...], operation: int, now: float) -> int | None:
        """Let these servers vote from now on; returns the entry that says so, or None when that cannot be now.

        Raises:
            ValueError: It is more than one server more or less.
        """
        if self._leading is None or self.handing_over:
            return None
        return self._leading.reconfigure(names, operation, now)

    def hand_over(self, successor: str, now: float) -> bool:
        """Let that voter lead as soon as it has the whole log; False: this is not the leader, or that is no other voter."""
        return self._leading is not None and self._leading.hand_over(successor, now)

    def holds_lease(self, now: float) -> bool:
        """Whatever was read from the state before `now` is linearizable, with all of `take_committed` applied."""
        return self._leading is not None and self._leading.holds_lease(now)

    def read(self, token: int, operation: int) -> bool:
        """Ask for a linearizable read; False when this is not the leader. The token comes back by `take_reads`."""
        if self._leading is None:
            return False
        self._leading.read(token, operation)
        return True

    def save_snapshot(self, state: bytes) -> None:
        """`state` is that after all entries handed out so far; forget the log behind it."""
        members = self.replica.voters_at(self.applied).names
        snapshot = Snapshot.of(index=self.applied, term=self._term_of_applied(), members=members, state=state)
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
            self._leave_if_removed(now)
        elif self.role is Role.CANDIDATE:
            self._count_votes(now)

    def connected(self, peer: str, now: float) -> None:
        """A new connection to `peer` stands; what was on its way before may be lost."""
        if self._leading:
            self._leading.on_connected(peer, now)
        elif self.role is Role.CANDIDATE and peer in self._electors and peer not in self._votes:
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
            if self._may_campaign():
                self._campaign(now)
            else:
                self._await_leader(now)

    def receive(self, sender: str, message: Message, now: float) -> None:
        """A message of a peer."""
        if self._ignores(message, now):
            self.replica.send_when_term_durable(sender, VoteOk(term=self.term, granted=False))
            return
        if message.term > self.term:
            self._follow(message.term, None, now)
        if isinstance(message, Vote):
            self._on_vote(sender, message, now)
        elif isinstance(message, PreVote):
            self._on_pre_vote(sender, message, now)
        elif isinstance(message, TimeoutNow):
            if message.term == self.term and message.last_index <= self.replica.log.last_index and self._may_campaign():
                self._campaign(now, handed_over=True)
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
        if isinstance(message, (VoteOk, PreVoteOk)):
            self._on_vote_ok(sender, message, now)
        elif self._leading:
            round_ = message.round if isinstance(message, (HeartbeatOk, ReadIndexOk)) else 0
            self._leading.heard(sender, round_, now)
            if isinstance(message, AppendOk):
                self._leading.on_append_ok(sender, message, now)
                self._leave_if_removed(now)
            elif isinstance(message, SnapshotOk):
                self._leading.on_snapshot_ok(sender, message, now)

    # Roles

    def _follow(self, term: int, leader: str | None, now: float) -> None:
        if term > self.term:
            self.replica.set_term(term, "")
        if self._leading and leader:
            self._meet(leader, term)
        if leader:
            self._heard_leader = now
        if leader or self._leading:
            self._await_leader(now)
        self.role, self.leader, self._leading = Role.FOLLOWER, leader, None

    def _meet(self, leader: str, term: int) -> None:
        """Another leader of the own term: what it says would not be what this one acknowledged."""
        raise AssertionError(f"{leader} leads term {term}, and so does {self.name}")

    def _lead(self, now: float) -> None:
        self.role, self.leader = Role.LEADER, self.name
        self._leading = self.leadership_type(self.replica, self._config, self.name, self.peers, now)

    def _leave_if_removed(self, now: float) -> None:
        if self._leading and self._leading.removed:
            self._follow(self.term, None, now)
