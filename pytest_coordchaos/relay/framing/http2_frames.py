"""The frames of HTTP/2 (RFC 9113, sections 4 and 6). What they mean is `http2.py`'s business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct

from pytest_coordchaos.relay.framing.base import NONE, Frame, Unframed
from pytest_coordchaos.relay.framing.http2_streams import Session

__all__ = [
    "CONTINUATION", "DATA", "END_HEADERS", "END_STREAM", "HEADERS", "HEADER_BYTES", "PADDED", "PRIORITIZED", "PUSH_PROMISE",
    "RST_STREAM", "FramesFramer",
]  # fmt: skip

HEADER_BYTES = 9
DATA, HEADERS, _PRIORITY, RST_STREAM, _SETTINGS, PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x4, 0x8, 0x20
_ACK = 0x1
_STREAM_BITS = 0x7FFFFFFF

_ON_STREAMS = frozenset({DATA, HEADERS, _PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION})
_ON_CONNECTION = frozenset({_SETTINGS, _PING, _GOAWAY})
_LENGTHS = {_PRIORITY: 5, RST_STREAM: 4, _PING: 8, _WINDOW_UPDATE: 4}
_BLOCKS = frozenset({HEADERS, PUSH_PROMISE, CONTINUATION})

_unpack_header = Struct(">HBBBI").unpack_from


class FramesFramer(ABC):
    """Follows one direction from frame to frame, keeping none.

    Attributes:
        session: What it shares with the other direction.
    """

    __slots__ = ("_block_of", "_flags", "_kept", "_kind", "_left", "_out", "_started", "_stream", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._kept = b""  # an unfinished header
        self._started = False  # the first frame was seen
        self._kind = -1  # type of the open frame; -1: a header comes next
        self._flags = self._stream = 0  # of the open frame
        self._left = 0  # bytes of it still to come
        self._block_of = 0  # the stream whose header block is open
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
        if self._kept:
            data = self._kept + data
            self._kept = b""
        try:
            self._scan(data)
        except Unframed:
            self.session.lost = True
            self.session.streams.clear()
        return out

    def finish(self) -> Sequence[Frame]:
        """Nothing: a stream cut short carries no message."""
        return NONE

    @abstractmethod
    def _opened(self) -> None:
        """The header of a frame was seen."""

    @abstractmethod
    def _payload(self, data: bytes, pos: int, stop: int) -> None:
        """Some of the open frame's payload is there."""

    @abstractmethod
    def _closed(self, kind: int) -> None:
        """A frame of that type ended."""

    def _scan(self, data: bytes) -> None:
        pos, end = 0, len(data)
        while pos < end:
            if self._kind < 0:
                if end - pos < HEADER_BYTES:
                    self._kept = data[pos:]
                    return
                self._begin(data, pos)
                pos += HEADER_BYTES
            stop = min(pos + self._left, end)
            if stop > pos:
                self._payload(data, pos, stop)
                self._left -= stop - pos
                pos = stop
            if not self._left:
                kind, self._kind = self._kind, -1
                self._closed(kind)

    def _begin(self, data: bytes, pos: int) -> None:
        high, low, kind, flags, stream = _unpack_header(data, pos)
        length, stream = high << 8 | low, stream & _STREAM_BITS
        _check(kind, length, stream)
        if not self._started and (kind != _SETTINGS or flags & _ACK):
            raise Unframed
        if self._block_of != (stream if kind == CONTINUATION else 0):
            raise Unframed
        if kind in _BLOCKS:
            self._block_of = 0 if flags & END_HEADERS else stream
        self._started = True
        self._kind, self._left, self._flags, self._stream = kind, length, flags, stream
        self._opened()


def _check(kind: int, length: int, stream: int) -> None:
    if kind in _ON_STREAMS and not stream:
        raise Unframed
    if kind in _ON_CONNECTION and stream:
        raise Unframed
    if length != _LENGTHS.get(kind, length) or (kind == _SETTINGS and length % 6):
        raise Unframed
