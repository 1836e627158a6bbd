"""What a server does while it leads: replication, commitment, ReadIndex rounds, check quorum. Pure.

One append is in flight per follower; what arrives meanwhile goes with the next one (natural batching).
"""

from __future__ import annotations

from collections.abc import Sequence

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.log import Snapshot
from reference_systems.raft_kv.messages import Append, AppendOk, Entry, Heartbeat, ReadIndex, SnapshotChunk, SnapshotOk
from reference_systems.raft_kv.replica import Replica

__all__ = ["Leadership", "Progress"]

_LONGEST_RETRY_S = 2.0


class Progress:
    """What the leader knows of one follower."""

    __slots__ = ("heard", "in_flight", "match", "next", "offset", "retry_s", "round", "sent", "seq", "snapshot")

    def __init__(self, next_index: int, now: float, retry_s: float) -> None:
        self.next = next_index  # first entry to send
        self.match = 0  # its log equals ours up to here, durably
        self.seq = 0  # of the last append or chunk
        self.in_flight = False
        self.sent = now
        self.retry_s = retry_s
        self.heard = now
        self.round = 0  # last ReadIndex round it confirmed
        self.snapshot: Snapshot | None = None  # the one being sent
        self.offset = 0


class Leadership:
    """The leader's volatile state of one term."""

    def __init__(self, replica: Replica, config: Config, name: str, peers: Sequence[str], now: float) -> None:
        self._name = name
        self._replica = replica
        self._config = config
        self._retry_s = config.election_s[1]
        self.progress = {peer: Progress(replica.log.last_index + 1, now, self._retry_s) for peer in peers}
        self.heartbeat_due = now + config.heartbeat_s
        self.first_index = replica.log.last_index + 1
        self._waiting: list[tuple[int, int]] = []
        self._asked: list[tuple[int, int]] = []
        self._round = 0
        self.answered: list[int] = []
        self.add(Entry(term=replica.term), now)

    def add(self, entry: Entry, now: float) -> int:
        """Append an entry to the own log and send it to whoever has nothing in flight; returns its index.

        The own write and the sends go on in parallel (thesis §10.2.1).
        """
        index = self._replica.log.last_index + 1
        self._replica.append(index, (entry,))
        for peer in self.progress:
            self._replicate(peer, now)
        return index

    def _replicate(self, peer: str, now: float) -> None:
        progress, replica = self.progress[peer], self._replica
        if progress.in_flight or (progress.snapshot is None and progress.next > replica.log.last_index):
            return
        progress.in_flight, progress.sent = True, now
        progress.seq += 1
        prev_term = replica.log.term_at(progress.next - 1)
        if progress.snapshot is not None or prev_term is None:
            self._send_chunk(peer, progress)
            return
        append = Append(
            term=replica.term,
            seq=progress.seq,
            prev_index=progress.next - 1,
            prev_term=prev_term,
            commit=replica.commit,
            entries=replica.log.batch(
                progress.next, entries=int(self._config.batch_entries), size_bytes=int(self._config.batch_bytes)
            ),
        )
        replica.send(peer, append)

    def _send_chunk(self, peer: str, progress: Progress) -> None:
        if progress.snapshot is None:
            progress.snapshot, progress.offset = self._replica.snapshot, 0
        snapshot = progress.snapshot
        if snapshot is None:
            raise AssertionError("the log has a base but there is no snapshot of it")
        chunk = SnapshotChunk(
            term=self._replica.term,
            seq=progress.seq,
            index=snapshot.index,
            last_term=snapshot.term,
            offset=progress.offset,
            total=len(snapshot.data),
            data=snapshot.data[progress.offset : progress.offset + int(self._config.chunk_bytes)],
        )
        self._replica.send(peer, chunk)

    def heard(self, peer: str, round_: int, now: float) -> None:
        """Any answer of this term proves that the peer followed us when it sent it."""
        progress = self.progress[peer]
        progress.heard = now
        if round_ > progress.round:
            progress.round = round_
            self._finish_round()

    def on_append_ok(self, peer: str, reply: AppendOk, now: float) -> None:
        """A success counts whenever it comes; a refusal only when it answers what is in flight."""
        progress = self.progress[peer]
        current = progress.in_flight and reply.seq == progress.seq
        if current:
            progress.in_flight, progress.retry_s = False, self._retry_s
        if reply.ok:
            progress.match = max(progress.match, reply.match)
            progress.next = max(progress.next, progress.match + 1)
        elif current:
            progress.next = self._back_off(progress, reply)
        self.advance()
        self._replicate(peer, now)

    def _back_off(self, progress: Progress, reply: AppendOk) -> int:
        """Where to try next after a refusal: thesis §3.3, backing off a whole term at a time."""
        last = self._replica.log.last_of_term(reply.conflict_term) if reply.conflict_term else None
        wanted = reply.conflict_index if last is None else last + 1
        return max(progress.match + 1, min(progress.next - 1, wanted))

    def on_snapshot_ok(self, peer: str, reply: SnapshotOk, now: float) -> None:
        """Send the next chunk, or go on with appends after the snapshot."""
        progress = self.progress[peer]
        if not (progress.in_flight and reply.seq == progress.seq and progress.snapshot is not None):
            return
        progress.in_flight, progress.retry_s = False, self._retry_s
        progress.offset = reply.offset
        if reply.offset >= len(progress.snapshot.data):
            progress.match = max(progress.match, progress.snapshot.index)
            progress.next = max(progress.match, progress.snapshot.index) + 1
            progress.snapshot = None
            self.advance()
        self._replicate(peer, now)

    def on_connected(self, peer: str, now: float) -> None:
        """A new connection: what was in flight on the old one may be lost, so send it again."""
        progress = self.progress[peer]
        progress.in_flight, progress.retry_s = False, self._retry_s
        self._heartbeat(peer)
        self._replicate(peer, now)

    def advance(self) -> None:
        """Commit what a majority holds durably, if it is of this term (§5.4.2, figure 8)."""
        replica = self._replica
        held = {peer: progress.match for peer, progress in self.progress.items()}
        index = replica.voters.held({self._name: replica.durable_index, **held})
        if index > replica.commit and self._may_commit(index):
            replica.commit = index
            self._next_round()

    def _may_commit(self, index: int) -> bool:
        return self._replica.log.term_at(index) == self._replica.term

    def tick(self, now: float) -> None:
        """Heartbeats when due; appends again when they went unanswered for too long."""
        for peer, progress in self.progress.items():
            if progress.in_flight and now - progress.sent >= progress.retry_s:
                progress.in_flight = False
                progress.retry_s = min(2 * progress.retry_s, _LONGEST_RETRY_S)
                self._replicate(peer, now)
        if now >= self.heartbeat_due:
            self.heartbeat_due = now + self._config.heartbeat_s
            for peer in self.progress:
                self._heartbeat(peer)

    def _heartbeat(self, peer: str) -> None:
        commit = min(self.progress[peer].match, self._replica.commit)
        self._replica.send(peer, Heartbeat(term=self._replica.term, commit=commit, round=self._round))

    def lost_quorum(self, now: float) -> bool:
        """No majority (self included) was heard for an election timeout."""
        since = now - self._config.election_s[1]
        recent = [peer for peer, progress in self.progress.items() if progress.heard >= since]
        return not self._replica.voters.are_majority([self._name, *recent])

    def forgive(self, now: float) -> None:
        """This server itself did not run for a while: what it did not hear then proves nothing."""
        for progress in self.progress.values():
            progress.heard = now

    def read(self, token: int, operation: int) -> None:
        """Ask for a linearizable read; the token turns up in `answered` when the state may be read."""
        self._waiting.append((token, operation))
        self._next_round()

    def _next_round(self) -> None:
        """Start a round for all who wait."""
        if self._asked or not self._waiting or not self._may_read():
            return
        self._asked, self._waiting = self._waiting, []
        self._round += 1
        operations = tuple(dict.fromkeys(operation for _, operation in self._asked if operation))
        for peer in self.progress:
            self._replica.send(peer, ReadIndex(term=self._replica.term, round=self._round, operations=operations))
        self._finish_round()

    def _may_read(self) -> bool:
        """Not before an entry of this term is committed: until then the commit index may lie behind what an
        earlier leader acknowledged (§8; thesis §6.4)."""
        return self._replica.commit >= self.first_index

    def _finish_round(self) -> None:
        confirmed = [peer for peer, progress in self.progress.items() if progress.round >= self._round]
        if self._asked and self._replica.voters.are_majority([self._name, *confirmed]):
            self.answered.extend(token for token, _ in self._asked)
            self._asked = []
            self._next_round()
