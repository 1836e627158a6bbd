"""HTTP/1.1: one message per request and per response (RFC 9112, sections 6 and 7).

Both directions of a connection share an `Exchange`, because a response's length depends on the
method it answers, and because a protocol switch ends HTTP for both. Interim responses (1xx) belong
to the final response that follows. Class: the method of a request; "response" of a response.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_coordchaos.relay.framing.base import NONE, Frame, Unframed
from pytest_coordchaos.relay.framing.http1_body import Body, body_of

__all__ = ["Exchange", "RequestFramer", "ResponseFramer"]

_MAX_HEAD_BYTES = 64 * 1024
_MAX_UNANSWERED = 100_000

_end_of_head = re.compile(rb"\n\r?\n").search
_request_line = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}) [^\r\n ]+ HTTP/1\.[01]\r?\n").match
_status_line = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [^\r\n]*)?\r?\n").match


@dataclass(slots=True)
class Exchange:
    """What both directions of one connection must know of each other.

    Attributes:
        methods: Of requests not answered yet, oldest first.
        tunnel: The connection speaks another protocol now (101, or CONNECT answered by 2xx).
    """

    methods: deque[bytes] = field(default_factory=deque)
    tunnel: bool = False


class _Http1Framer(ABC):
    """What both directions have in common: find a head, then take the body it announces."""

    __slots__ = ("_body", "_buffer", "_exchange", "_message_class", "_seen", "_size", "lost")

    def __init__(self, exchange: Exchange) -> None:
        self.lost = False
        self._exchange = exchange
        self._buffer = b""  # an unfinished head
        self._seen = 0  # how much of it was searched for its end
        self._body: Body | None = None  # None: a head comes next
        self._size = 0  # bytes of the open message before what is being looked at
        self._message_class = ""

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The messages whose last byte is in `data`."""
        if self.lost:
            return NONE
        out: list[Frame] = []
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        try:
            self._scan(data, out)
        except Unframed:
            self.lost = True
            self._buffer = b""
        return out

    def finish(self) -> Sequence[Frame]:
        """The response that only the end of the connection ends."""
        if self.lost or self._body is None or not self._body.ends_with_connection:
            return NONE
        self.lost = True
        return ((self._message_class, self._size, ()),)

    def _scan(self, data: bytes, out: list[Frame]) -> None:
        pos, end = 0, len(data)
        while pos < end:
            if self._body is None:
                pos = self._head(data, pos)
                if pos < 0:
                    return
            else:
                after = self._body.feed(data, pos)
                self._size += after - pos
                pos = after
            if self._body is not None and self._body.done:
                out.append((self._message_class, self._size, ()))
                self._size, self._body = 0, None

    def _head(self, data: bytes, pos: int) -> int:
        """Read the head that begins at `pos`; returns where it ends, or -1 while it has not ended."""
        if self._exchange.tunnel:
            raise Unframed
        start = self._skip_blank(data, pos)
        found = _end_of_head(data, max(start, pos + self._seen - 3))
        if (found.end() if found else len(data)) - start > _MAX_HEAD_BYTES:
            raise Unframed
        if found is None:
            self._buffer = data[start:]
            self._seen = len(self._buffer)
            return -1
        self._seen = 0
        self._size += found.end() - start
        self._read_head(data[start : found.end()])
        return found.end()

    def _skip_blank(self, data: bytes, pos: int) -> int:
        """Empty lines before a start line are tolerated (section 2.2)."""
        while data.startswith((b"\r\n", b"\n"), pos):
            pos += 2 if data[pos] == 13 else 1
        return pos

    @abstractmethod
    def _read_head(self, head: bytes) -> None:
        """Take the start line, and the body the head announces; Unframed when it is no HTTP."""


class RequestFramer(_Http1Framer):
    """The client's direction."""

    __slots__ = ()

    def _read_head(self, head: bytes) -> None:
        line = _request_line(head)
        if line is None or len(self._exchange.methods) >= _MAX_UNANSWERED:
            raise Unframed
        method = line.group(1)
        self._exchange.methods.append(method)
        self._message_class = method.decode("ascii")
        self._body = body_of(head, may_end_with_connection=False)


class ResponseFramer(_Http1Framer):
    """The server's direction."""

    __slots__ = ()

    def _read_head(self, head: bytes) -> None:
        line = _status_line(head)
        if line is None:
            raise Unframed
        status, exchange = int(line.group(1)), self._exchange
        self._message_class = "response"
        if 100 <= status < 200 and status != 101:
            return  # the final response is still to come
        method = exchange.methods.popleft() if exchange.methods else b"GET"
        if status == 101 or (method == b"CONNECT" and 200 <= status < 300):
            exchange.tunnel = True
            self._body = Body()
        elif method == b"HEAD" or status in (204, 304):
            self._body = Body()
        else:
            self._body = body_of(head, may_end_with_connection=True)
