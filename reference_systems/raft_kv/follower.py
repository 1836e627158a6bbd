"""What a follower does with entries and snapshots from its leader. Pure."""

from __future__ import annotations

from reference_systems.raft_kv.log import Snapshot
from reference_systems.raft_kv.messages import Append, AppendOk, SnapshotChunk, operations_of
from reference_systems.raft_kv.replica import Replica

__all__ = ["SnapshotReceiver", "accept_append"]


def accept_append(replica: Replica, message: Append) -> AppendOk:
    """AppendEntries, receiver's steps 2 to 5 (figure 2). Only a real conflict truncates: an old, late or
    doubled append must not take away what a newer one brought."""
    log = replica.log
    prev, entries = message.prev_index, message.entries
    operations = operations_of(entries)
    if prev < log.base_index:  # what the base covers is committed, hence equal
        skipped = min(len(entries), log.base_index - prev)
        prev, entries = prev + skipped, entries[skipped:]
        if prev < log.base_index:
            return AppendOk(term=replica.term, seq=message.seq, ok=True, match=prev, operations=operations)
    elif log.term_at(prev) != message.prev_term:
        conflict_term, conflict_index = log.conflict_at(prev)
        return AppendOk(
            term=replica.term,
            seq=message.seq,
            ok=False,
            conflict_term=conflict_term,
            conflict_index=conflict_index,
            operations=operations,
        )
    match = prev + len(entries)
    fresh = 0
    while fresh < len(entries) and log.term_at(prev + 1 + fresh) == entries[fresh].term:
        fresh += 1
    if fresh < len(entries):
        replica.append(prev + 1 + fresh, entries[fresh:])
    replica.commit = max(replica.commit, min(message.commit, match))
    return AppendOk(term=replica.term, seq=message.seq, ok=True, match=match, operations=operations)


class SnapshotReceiver:
    """Gathers the chunks of one snapshot. Chunks may come twice, late or not at all."""

    def __init__(self) -> None:
        self._of: tuple[int, int, int] | None = None
        self._data = bytearray()

    def add(self, chunk: SnapshotChunk) -> tuple[int, Snapshot | None]:
        """Take a chunk; returns the offset wanted next, and the snapshot when it is whole."""
        of = (chunk.index, chunk.last_term, chunk.total)
        if of != self._of:
            self._of, self._data = of, bytearray()
        if chunk.offset == len(self._data):
            self._data += chunk.data
        if len(self._data) < chunk.total:
            return len(self._data), None
        snapshot = Snapshot(index=chunk.index, term=chunk.last_term, data=bytes(self._data))
        self._of, self._data = None, bytearray()
        return chunk.total, snapshot
