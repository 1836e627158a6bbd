"""What a server does while it leads: replication, commitment, check quorum. Pure.

So many appends are in flight per follower as `config.pipeline` says; what arrives meanwhile goes with the next one (natural
batching). Reads, leases and handing over are in `authority.Authority`, which this extends.
"""

from __future__ import annotations

from collections.abc import Sequence

from reference_systems.raft_kv.authority import Authority
from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.messages import Append, AppendOk, Entry, Heartbeat, SnapshotChunk, SnapshotOk, members_data
from reference_systems.raft_kv.progress import Progress
from reference_systems.raft_kv.replica import Replica

__all__ = ["Leadership"]

_LONGEST_RETRY_S = 2.0


class Leadership(Authority):
    """The leader's volatile state of one term."""

    def __init__(self, replica: Replica, config: Config, name: str, peers: Sequence[str], now: float) -> None:
        super().__init__(replica, config, name, peers, now)
        self.heartbeat_due = now + config.heartbeat_s
        self.add(Entry(term=replica.term), now)

    def add(self, entry: Entry, now: float) -> int:
        """Append an entry to the own log and send it to whoever has room in flight; returns its index.

        The own write and the sends go on in parallel (thesis §10.2.1).
        """
        index = self._replica.log.last_index + 1
        self._replica.append(index, (entry,))
        for peer in self.progress:
            self._replicate(peer, now)
        return index

    def reconfigure(self, names: tuple[str, ...], operation: int, now: float) -> int | None:
        """Let these servers vote from now on; returns the entry that says so, or None when that must wait.

        One server at a time, so that old and new majorities overlap; not before the last such entry is committed, nor before
        an entry of this term is: else two leaders' changes could count apart (thesis §4.1, and its correction of July 2015).

        Raises:
            ValueError: It is more than one server.
        """
        replica = self._replica
        if replica.voters_index > replica.commit or not self._may_read():
            return None
        if not self._one_step(names):
            raise ValueError(f"from {', '.join(replica.voters.names)} to {', '.join(names)} is more than one server")
        return self.add(Entry(term=replica.term, operation=operation, data=members_data(names)), now)

    def _one_step(self, names: tuple[str, ...]) -> bool:
        return len(set(names) ^ set(self._replica.voters.names)) <= 1

    def _replicate(self, peer: str, now: float) -> None:
        """Send what the follower lacks, as far as there is room in flight."""
        progress, replica = self.progress[peer], self._replica
        while len(progress.flying) < self._config.pipeline and progress.next <= replica.log.last_index:
            prev = progress.next - 1
            prev_term = replica.log.term_at(prev)
            if progress.snapshot is not None or prev_term is None:
                break
            entries = replica.log.batch(
                progress.next, entries=int(self._config.batch_entries), size_bytes=int(self._config.batch_bytes)
            )
            seq = progress.fly(prev, now)
            progress.next += len(entries)
            append = Append(
                term=replica.term, seq=seq, prev_index=prev, prev_term=prev_term, commit=replica.commit, entries=entries
            )
            replica.send(peer, append)
        else:
            return
        if not progress.flying:
            self._send_chunk(peer, progress, progress.fly(progress.next - 1, now))

    def _send_chunk(self, peer: str, progress: Progress, seq: int) -> None:
        if progress.snapshot is None:
            progress.snapshot, progress.offset = self._replica.snapshot, 0
        snapshot = progress.snapshot
        if snapshot is None:
            raise AssertionError("the log has a base but there is no snapshot of it")
        chunk = SnapshotChunk(
            term=self._replica.term,
            seq=seq,
            index=snapshot.index,
            last_term=snapshot.term,
            offset=progress.offset,
            total=len(snapshot.data),
            data=snapshot.data[progress.offset : progress.offset + int(self._config.chunk_bytes)],
        )
        self._replica.send(peer, chunk)

    def on_append_ok(self, peer: str, reply: AppendOk, now: float) -> None:
        """A success counts whenever it comes; a refusal only when it answers what is in flight."""
        progress = self.progress[peer]
        refused = not reply.ok and reply.seq in progress.flying
        if refused:
            prev = progress.flying[reply.seq].prev
            progress.land_all(self._retry_s)
            progress.next = self._back_off(progress, prev, reply)
        elif reply.ok:
            progress.land(reply.seq, self._retry_s)
            progress.match = max(progress.match, reply.match)
            progress.next = max(progress.next, progress.match + 1)
        self.advance()
        self._hand_over_if_ready()
        self._replicate(peer, now)

    def _back_off(self, progress: Progress, prev: int, reply: AppendOk) -> int:
        """Where to try next after a refusal of what follows `prev`: thesis §3.3, backing off a whole term at a time."""
        last = self._replica.log.last_of_term(reply.conflict_term) if reply.conflict_term else None
        wanted = reply.conflict_index if last is None else last + 1
        return max(progress.match + 1, min(prev, wanted))

    def on_snapshot_ok(self, peer: str, reply: SnapshotOk, now: float) -> None:
        """Send the next chunk, or go on with appends after the snapshot."""
        progress = self.progress[peer]
        if reply.seq not in progress.flying or progress.snapshot is None:
            return
        progress.land_all(self._retry_s)
        progress.offset = reply.offset
        if reply.offset >= len(progress.snapshot.data):
            progress.match = max(progress.match, progress.snapshot.index)
            progress.next = max(progress.match, progress.snapshot.index) + 1
            progress.snapshot = None
            self.advance()
        self._replicate(peer, now)

    def on_connected(self, peer: str, now: float) -> None:
        """A new connection: what was in flight on the old one may be lost, so send it again."""
        self.progress[peer].take_back(self._retry_s)
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

    @property
    def removed(self) -> bool:
        """It is committed that this server does not vote any more: its work is done (thesis §4.2.2)."""
        replica = self._replica
        return self._name not in replica.voters.names and replica.voters_index <= replica.commit

    def tick(self, now: float) -> None:
        """Heartbeats when due; appends again when they went unanswered for too long."""
        self._give_up_handing_over(now)
        for peer, progress in self.progress.items():
            if progress.flying and now - progress.oldest.sent >= progress.retry_s:
                progress.take_back(min(2 * progress.retry_s, _LONGEST_RETRY_S))
                self._replicate(peer, now)
        if now >= self.heartbeat_due:
            self.heartbeat_due = now + self._config.heartbeat_s
            self._begin_lease(now)
            for peer in self.progress:
                self._heartbeat(peer)

    def _heartbeat(self, peer: str) -> None:
        commit = min(self.progress[peer].match, self._replica.commit)
        self._replica.send(peer, Heartbeat(term=self._replica.term, commit=commit, round=self._round))
