"""Frames: the classes of both ports, and the bytes of Raft's messages. Pure.

Frames of class append, append_ok, read_index and read_index_ok carry the ids of the client operations
they serve; all others carry none.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from reference_systems.kit.frames import Frame, FrameError
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
    operations_of,
)

__all__ = [
    "ANSWERS",
    "BACKGROUND",
    "CLIENT_CLASSES",
    "PEER_CLASSES",
    "REQUEST",
    "RESPONSE",
    "STATUS",
    "STATUS_OK",
    "decode",
    "decode_entries",
    "encode_entries",
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
ANSWERS = frozenset(number for number, name in PEER_CLASSES.items() if name.endswith("_ok"))
"""Classes that answer another message; all others ask."""
_ENTRY = struct.Struct(">QQI")


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
