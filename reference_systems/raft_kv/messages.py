"""The messages of Raft and their bytes. Pure.

Names follow Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), figure 2.
Frames of class append, append_ok, read_index and read_index_ok carry the ids of the client operations
they serve; all others carry none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from reference_systems.kit.frames import Frame, FrameError

__all__ = [
    "BACKGROUND",
    "CLIENT_CLASSES",
    "PEER_CLASSES",
    "REQUEST",
    "RESPONSE",
    "STATUS",
    "STATUS_OK",
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
    "decode",
    "decode_entries",
    "encode_entries",
    "members_data",
    "operations_of",
    "to_frame",
]

REQUEST, RESPONSE, STATUS, STATUS_OK = 1, 2, 3, 4
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response", STATUS: "status", STATUS_OK: "status_ok"})
BACKGROUND = frozenset(
    {
        "heartbeat",
        "heartbeat_ok",
        "vote",
        "vote_ok",
        "pre_vote",
        "pre_vote_ok",
        "timeout_now",
        "snapshot",
        "snapshot_ok",
    }
)
"""Classes of the peer port that no client operation causes."""


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

_SPECS: tuple[tuple[int, str, type[Message], struct.Struct, tuple[str, ...]], ...] = (
    (1, "append", Append, struct.Struct(">QQQQQ"), ("term", "seq", "prev_index", "prev_term", "commit")),
    (
        2,
        "append_ok",
        AppendOk,
        struct.Struct(">QQ?QQQ"),
        ("term", "seq", "ok", "match", "conflict_term", "conflict_index"),
    ),
    (3, "heartbeat", Heartbeat, struct.Struct(">QQQ"), ("term", "commit", "round")),
    (4, "heartbeat_ok", HeartbeatOk, struct.Struct(">QQ"), ("term", "round")),
    (5, "vote", Vote, struct.Struct(">QQQ?"), ("term", "last_index", "last_term", "handed_over")),
    (6, "vote_ok", VoteOk, struct.Struct(">Q?"), ("term", "granted")),
    (7, "read_index", ReadIndex, struct.Struct(">QQ"), ("term", "round")),
    (8, "read_index_ok", ReadIndexOk, struct.Struct(">QQ"), ("term", "round")),
    (
        9,
        "snapshot",
        SnapshotChunk,
        struct.Struct(">QQQQQQ"),
        ("term", "seq", "index", "last_term", "offset", "total"),
    ),
    (10, "snapshot_ok", SnapshotOk, struct.Struct(">QQQ"), ("term", "seq", "offset")),
    (11, "pre_vote", PreVote, struct.Struct(">QQQ"), ("term", "last_index", "last_term")),
    (12, "pre_vote_ok", PreVoteOk, struct.Struct(">Q?"), ("term", "granted")),
    (13, "timeout_now", TimeoutNow, struct.Struct(">QQ"), ("term", "last_index")),
)
"""(number, class, type, how its head is packed, the head's fields: the first ones of the type)"""

_BY_TYPE = MappingProxyType({make: (number, head.pack, attrgetter(*names)) for number, _, make, head, names in _SPECS})
_BY_NUMBER = MappingProxyType({number: (name, make, head) for number, name, make, head, _ in _SPECS})
PEER_CLASSES = MappingProxyType({spec[0]: spec[1] for spec in _SPECS})
_ENTRY = struct.Struct(">QQI")


def operations_of(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Ids of the client operations behind entries, each once."""
    return tuple(dict.fromkeys(entry.operation for entry in entries if entry.operation))


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Entries one after the other."""
    return b"".join(_ENTRY.pack(entry.term, entry.operation, len(entry.data)) + entry.data for entry in entries)


def decode_entries(data: bytes, offset: int = 0) -> tuple[Entry, ...]:
    """The entries in `data` from `offset` to its end. Raises ValueError when they do not end there."""
    entries = []
    while offset < len(data):
        if len(data) - offset < _ENTRY.size:
            raise ValueError(f"an entry's head is cut off at byte {offset}")
        term, operation, length = _ENTRY.unpack_from(data, offset)
        offset += _ENTRY.size
        if len(data) - offset < length:
            raise ValueError(f"an entry of {length} bytes is cut off at byte {offset}")
        entries.append(Entry(term=term, operation=operation, data=data[offset : offset + length]))
        offset += length
    return tuple(entries)


def to_frame(message: Message, sender: int) -> Frame:
    """The message as a frame of the peer port."""
    number, pack, fields = _BY_TYPE[type(message)]
    body = pack(*fields(message))
    operations: tuple[int, ...] = ()
    if isinstance(message, Append):
        body += encode_entries(message.entries)
        operations = operations_of(message.entries)
    elif isinstance(message, SnapshotChunk):
        body += message.data
    elif isinstance(message, (AppendOk, ReadIndex, ReadIndexOk)):
        operations = message.operations
    return Frame(number, operations, sender, body)


def decode(frame: Frame) -> Message:
    """The message in a frame of the peer port.

    Raises:
        FrameError: An unknown class, or a body that does not fit it.
    """
    spec = _BY_NUMBER.get(frame.kind)
    if spec is None:
        raise FrameError(f"class {frame.kind} is not known on the peer port")
    name, make, head = spec
    exact = make not in (Append, SnapshotChunk)
    if len(frame.body) < head.size or (exact and len(frame.body) > head.size):
        raise FrameError(f"a {name} frame has a body of {len(frame.body)} bytes; its head takes {head.size}")
    fields: list[Any] = [*head.unpack_from(frame.body)]
    if make is Append:
        try:
            fields.append(decode_entries(frame.body, head.size))
        except ValueError as error:
            raise FrameError(str(error)) from error
    elif make is SnapshotChunk:
        fields.append(frame.body[head.size :])
    elif make in (AppendOk, ReadIndex, ReadIndexOk):
        fields.append(frame.operations)
    return make(*fields)
