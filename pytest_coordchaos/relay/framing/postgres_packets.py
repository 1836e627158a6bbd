"""PostgreSQL's packets: a type, a length, a body whose beginning may be wanted. What they mean is `postgres.py`'s business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES, NONE, Frame, Unframed

__all__ = ["SYNC", "PacketsFramer", "Session"]

SYNC = 0
"""Instead of a number of answers: everything up to ReadyForQuery."""

_MAX_UNANSWERED = 100_000
_HEADER_BYTES, _LENGTH_BYTES = 5, 4
_unpack_header = Struct(">BI").unpack_from


@dataclass(slots=True)
class Session:
    """What both directions of one connection must know of each other.

    Attributes:
        owed: Of batches not answered yet, oldest first: answers a flushed one is still owed, or `SYNC`.
        single: The client asked for encryption: the next answer is one byte.
        streaming: Both sides copy (replication): every CopyData is a message.
        lost: Either direction is: they make no sense without each other.
    """

    owed: deque[int] = field(default_factory=deque)
    single: bool = False
    streaming: bool = False
    lost: bool = False

    def owe(self, answers: int) -> None:
        """The client sent something that is answered."""
        if len(self.owed) >= _MAX_UNANSWERED:
            raise Unframed
        self.owed.append(answers)


class PacketsFramer(ABC):
    """Follows one direction from packet to packet; keeps the beginning of the open one.

    Attributes:
        session: What it shares with the other direction.
    """

    __slots__ = ("_kept", "_kind", "_left", "_out", "_packet", "_row", "_size", "_want", "session")

    wanted: Mapping[int, int]
    """Of every type of packet there is: how many bytes of its body `_ended` is to be shown."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._kind = -1  # type of the open packet; -1: a header comes next
        self._kept = b""  # an unfinished header, or what is wanted of the open packet's body
        self._packet = 0  # size of the open packet
        self._left = 0  # bytes of it still to come
        self._want = 0  # bytes of them to keep
        self._size = 0  # bytes of packets since the last message
        self._row = -1  # the type that carries data by the thousand and means nothing else; -1: packets have no types yet
        self._out: list[Frame] = []

    @property
    def lost(self) -> bool:
        """The bytes were not of this protocol; nothing is reported any more."""
        return self.session.lost

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The messages whose last byte is in `data`."""
        if self.session.lost:
            return NONE
        out = self._out = []
        try:
            self._scan(data)
        except Unframed:
            self.session.lost = True
            self._kept = b""
        return out

    def finish(self) -> Sequence[Frame]:
        """Nothing: a packet cut short is no message."""
        return NONE

    @abstractmethod
    def _ended(self, kind: int, body: bytes) -> None:
        """A packet ended; `body` is the part of it that was wanted."""

    def _scan(self, data: bytes) -> None:
        if self._kind < 0 and self._kept:
            data = self._kept + data
            self._kept = b""
        pos, end = 0, len(data)
        while pos < end:
            if self._kind < 0:
                pos = self._whole(data, pos)
                body = self._header(data, pos)
                if body < 0:
                    self._kept = data[pos:]
                    return
                pos = body
            stop = min(pos + self._left, end)
            if self._want:
                part = data[pos : min(stop, pos + self._want)]
                self._kept += part
                self._want -= len(part)
            self._left -= stop - pos
            pos = stop
            if not self._left:
                kind, wanted, self._kind, self._kept = self._kind, self._kept, -1, b""
                self._size += self._packet
                self._ended(kind, wanted)

    def _whole(self, data: bytes, pos: int) -> int:
        """Take the whole packets at `pos`, which is most often all there is; returns where they end."""
        wanted, row, end = self.wanted, self._row, len(data)
        while end - pos >= _HEADER_BYTES and row >= 0:
            kind, length = _unpack_header(data, pos)
            stop = pos + 1 + length
            if kind not in wanted or not _LENGTH_BYTES <= length <= MAX_MESSAGE_BYTES or stop > end:
                break
            self._size += length + 1
            if kind != row or self.session.streaming:
                self._packet = length + 1
                body = pos + _HEADER_BYTES
                self._ended(kind, data[body : min(stop, body + wanted[kind])])
            pos = stop
        return pos

    def _header(self, data: bytes, pos: int) -> int:
        """Read the header at `pos`; returns where the body begins, or -1 while the header is unfinished."""
        if len(data) - pos < _HEADER_BYTES:
            return -1
        kind, length = _unpack_header(data, pos)
        if kind not in self.wanted or not _LENGTH_BYTES <= length <= MAX_MESSAGE_BYTES:
            raise Unframed
        self._open(kind, length + 1, length - _LENGTH_BYTES, self.wanted[kind])
        return pos + _HEADER_BYTES

    def _open(self, kind: int, packet: int, left: int, want: int) -> None:
        self._kind, self._packet, self._left, self._want = kind, packet, left, want

    def _emit(self, message_class: str) -> None:
        """What was seen since the last message is one."""
        self._out.append((message_class, self._size, ()))
        self._size = 0
