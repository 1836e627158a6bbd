"""HTTP/2 (RFC 9113) with prior knowledge, without TLS: requests and responses, or gRPC's messages, one message each.

A gRPC stream (by the request's content type) carries as many messages each way as it carries
length-prefixed ones, and at least one; class, both ways: the path. Otherwise a request is one
message, class: its method, and its response is one "response". Frames that serve the connection
(SETTINGS, PING, WINDOW_UPDATE ...) are no messages: their bytes go with the next one, and so do
those of what was reset, of trailers, and of pushed responses.
"""

from __future__ import annotations

from pytest_coordchaos.relay.framing.base import Unframed
from pytest_coordchaos.relay.framing.hpack import HeaderDecoder
from pytest_coordchaos.relay.framing.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER_BYTES,
    HEADERS,
    PADDED,
    PRIORITIZED,
    PUSH_PROMISE,
    RST_STREAM,
    FramesFramer,
)  # fmt: skip
from pytest_coordchaos.relay.framing.http2_streams import REQUEST, RESPONSE, Half, Session, Stream

__all__ = ["RequestFramer", "ResponseFramer"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_BLOCK_BYTES = 64 * 1024
_PRIORITY_BYTES = 5
_OF_A_MESSAGE = frozenset({DATA, HEADERS, CONTINUATION})


class _MessagesFramer(FramesFramer):
    """What both directions have in common: whose the bytes are, and where a stream's messages end."""

    __slots__ = ("_content", "_ends", "_half", "_told")

    way: int
    """Which half of a stream it sees."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._half: Half | None = None  # what the open frame belongs to; None: to no message
        self._content = 0  # bytes of it before its padding; -1: the padding's size comes next
        self._ends = False  # the stream's sender is done after the open header block
        self._told = 0  # upkeep when `beside` was asked last

    def beside(self) -> int:
        """How many bytes more than at the last call are known to be no message's, and wait to be counted with the next one."""
        before, self._told = self._told, self.session.upkeep[self.way]
        return self._told - before

    def _opened(self) -> None:
        kind = self._kind
        stream = self._stream_of(self._stream) if kind in _OF_A_MESSAGE else None
        half = stream.halves[self.way] if stream is not None else None
        self._half = half if half is not None and not half.ended else None
        self._content = -1 if self._flags & PADDED else self._left
        if kind in (HEADERS, PUSH_PROMISE):
            self._ends = kind == HEADERS and bool(self._flags & END_STREAM)
        self._spend(HEADER_BYTES)

    def _stream_of(self, number: int) -> Stream | None:
        return self.session.streams.get(number)

    def _payload(self, data: bytes, pos: int, stop: int) -> None:
        half = self._half
        if half is not None and half.grpc and self._kind == DATA:
            self._grpc(half, data, pos, stop)
        else:
            self._spend(stop - pos)

    def _grpc(self, half: Half, data: bytes, pos: int, stop: int) -> None:
        """Take data of a gRPC stream: any number of messages can end in it."""
        if self._content < 0:
            self._content = self._left - 1 - data[pos]
            if self._content < 0:
                raise Unframed
            half.size += 1
            pos += 1
        end = min(stop, pos + self._content)
        self._content -= end - pos
        while pos < end and half.grpc:
            ended = half.take(data, pos, end)
            after = end if ended < 0 else ended
            half.size += after - pos
            pos = after
            if ended >= 0:
                self._emit(half)
        half.size += stop - pos

    def _closed(self, kind: int) -> None:
        if kind == RST_STREAM:
            self.session.reset(self._stream)
        elif kind == DATA:
            if self._flags & END_STREAM:
                self._end_stream()
        elif kind in (HEADERS, CONTINUATION) and self._flags & END_HEADERS and self._ends:
            self._end_stream()

    def _end_stream(self) -> None:
        if self._half is not None:
            if not self._half.told:
                self._emit(self._half)
            self.session.end(self._stream, self.way)

    def _spend(self, size: int) -> None:
        if self._half is not None:
            self._half.size += size
        else:
            self.session.upkeep[self.way] += size

    def _emit(self, half: Half) -> None:
        upkeep = self.session.upkeep
        self._out.append((half.name, half.size + upkeep[self.way], ()))
        half.size = upkeep[self.way] = 0
        half.told = True


class RequestFramer(_MessagesFramer):
    """The client's direction."""

    __slots__ = ("_block", "_decoder", "_fragment", "_preface_seen")

    way = REQUEST

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._preface_seen = False
        self._fragment = bytearray()  # the open frame's part of a header block, padding and all
        self._block = bytearray()  # what is known of the block before it
        self._decoder = HeaderDecoder()

    def _scan(self, data: bytes) -> None:
        if not self._preface_seen:
            if not data.startswith(_PREFACE[: len(data)]):
                raise Unframed
            if len(data) < len(_PREFACE):
                self._kept = data
                return
            self._preface_seen = True
            self.session.upkeep[REQUEST] += len(_PREFACE)
            data = data[len(_PREFACE) :]
        super()._scan(data)

    def _opened(self) -> None:
        if self._kind == PUSH_PROMISE:
            raise Unframed  # clients make none
        super()._opened()

    def _stream_of(self, number: int) -> Stream | None:
        if self._kind == HEADERS and number > self.session.last:
            return self.session.open(number)
        return super()._stream_of(number)

    def _payload(self, data: bytes, pos: int, stop: int) -> None:
        if self._kind in (HEADERS, CONTINUATION):
            self._fragment += data[pos:stop]
            if len(self._fragment) + len(self._block) > _MAX_BLOCK_BYTES:
                raise Unframed
        super()._payload(data, pos, stop)

    def _closed(self, kind: int) -> None:
        if kind in (HEADERS, CONTINUATION):
            self._block += self._fragment if kind == CONTINUATION else self._unpadded()
            self._fragment.clear()
            if self._flags & END_HEADERS:
                self._read_block()
        super()._closed(kind)

    def _unpadded(self) -> bytes:
        """The open HEADERS frame without its padding and its priority."""
        fragment, start, end = bytes(self._fragment), 0, len(self._fragment)
        if self._flags & PADDED:
            start, end = 1, end - (fragment[0] if fragment else 0)
        if self._flags & PRIORITIZED:
            start += _PRIORITY_BYTES
        if end < start:
            raise Unframed
        return fragment[start:end]

    def _read_block(self) -> None:
        """A header block ended: read it, also where its stream is gone, for the next one builds on it."""
        fields = self._decoder.decode(bytes(self._block))
        self._block.clear()
        stream = self.session.streams.get(self._stream)
        if stream is not None and not stream.named:
            stream.name(fields)


class ResponseFramer(_MessagesFramer):
    """The server's direction. Its header blocks are not read: the request says it all."""

    __slots__ = ()

    way = RESPONSE
