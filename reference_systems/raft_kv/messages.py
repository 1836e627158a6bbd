"""The messages of Raft. Pure; `wire` has their bytes.

Names follow Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), figure 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "Append",
    "AppendOk",
    "Entry",
    "Heartbeat",
    "HeartbeatOk",
    "Message",
    "PreVote",
    "PreVoteOk",
    "ReadIndex",
    "ReadIndexOk",
    "SnapshotChunk",
    "SnapshotOk",
    "TimeoutNow",
    "Vote",
    "VoteOk",
    "members_data",
    "operations_of",
]

_MEMBERS = b"members "  # no command of a client: those are JSON


def members_data(names: Iterable[str]) -> bytes:
    """The data of an entry whose `members` these are."""
    return _MEMBERS + ",".join(names).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the log.

    Args:
        term: The leader's term when it was added.
        operation: Id of the client operation; 0 for no-ops and session registrations.
        data: The command; empty for the no-op that starts a term; or `members` of it.
    """

    term: int
    operation: int = 0
    data: bytes = b""

    @property
    def members(self) -> tuple[str, ...] | None:
        """Who votes from this entry on; None: it says nothing about that."""
        return tuple(self.data[len(_MEMBERS) :].decode().split(",")) if self.data.startswith(_MEMBERS) else None


@dataclass(frozen=True, slots=True)
class Vote:
    """RequestVote: a candidate asks. `handed_over`: the leader told it to, so nobody needs to keep to that leader."""

    term: int
    last_index: int
    last_term: int
    handed_over: bool = False


@dataclass(frozen=True, slots=True)
class VoteOk:
    """The answer to Vote; sent when it is durable."""

    term: int
    granted: bool


@dataclass(frozen=True, slots=True)
class PreVote:
    """Would you vote for me in the term after `term`? (thesis §9.6)"""

    term: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class PreVoteOk:
    """The answer to PreVote; promises nothing."""

    term: int
    granted: bool


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader hands over: campaign at once, if the log reaches `last_index` (thesis §3.10)."""

    term: int
    last_index: int


@dataclass(frozen=True, slots=True)
class Append:
    """AppendEntries with entries. `commit` rides along; there is no message of its own for it."""

    term: int
    seq: int
    prev_index: int
    prev_term: int
    commit: int
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendOk:
    """The answer to Append, sent when the entries are durable.

    Args:
        seq: That of the Append.
        ok: The log matched at `prev_index`.
        match: When ok: the log equals the leader's up to here.
        conflict_term, conflict_index: When not ok: the term at `prev_index` (0: the log is shorter) and the
            first index to try.
        operations: Those of the Append, so that the answer is attributed too.
    """

    term: int
    seq: int
    ok: bool
    match: int = 0
    conflict_term: int = 0
    conflict_index: int = 0
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader is alive. `commit` is at most what this follower is known to hold; `round` renews a lost ReadIndex."""

    term: int
    commit: int
    round: int


@dataclass(frozen=True, slots=True)
class HeartbeatOk:
    """The answer to Heartbeat."""

    term: int
    round: int


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Is the sender still leader? One round serves all reads that waited (thesis §6.4)."""

    term: int
    round: int
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadIndexOk:
    """The answer to ReadIndex."""

    term: int
    round: int
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """InstallSnapshot: bytes `offset` … of the `total` bytes of the state after `index`."""

    term: int
    seq: int
    index: int
    last_term: int
    offset: int
    total: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class SnapshotOk:
    """The answer to SnapshotChunk: the offset wanted next; `total` means installed and durable."""

    term: int
    seq: int
    offset: int


Message = (
    Vote
    | VoteOk
    | PreVote
    | PreVoteOk
    | TimeoutNow
    | Append
    | AppendOk
    | Heartbeat
    | HeartbeatOk
    | ReadIndex
    | ReadIndexOk
    | SnapshotChunk
    | SnapshotOk
)


def operations_of(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Ids of the client operations behind entries, each once."""
    return tuple(dict.fromkeys(entry.operation for entry in entries if entry.operation))
