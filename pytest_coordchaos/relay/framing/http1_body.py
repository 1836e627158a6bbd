"""How long the body of an HTTP/1.1 message is, and where it ends (RFC 9112, sections 6 and 7)."""

from __future__ import annotations

import re

from pytest_coordchaos.relay.framing.base import Unframed

__all__ = ["Body", "body_of"]

_MAX_LINE_BYTES = 16 * 1024
_MAX_TRAILERS_BYTES = 64 * 1024

_length_headers = re.compile(rb"\n(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE).findall
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n").fullmatch
_digits = re.compile(rb"[0-9]{1,18}").fullmatch


class Body:
    """A body of no bytes, and what the other kinds have in common.

    Attributes:
        done: Its last byte was seen.
        ends_with_connection: Only the end of the connection ends it.
    """

    __slots__ = ("done",)
    ends_with_connection = False

    def __init__(self) -> None:
        self.done = True

    def feed(self, data: bytes, pos: int) -> int:
        """Take bytes from `pos` on; returns where it stopped."""
        return pos


class _Counted(Body):
    """So many bytes."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self.done = size == 0
        self._left = size

    def feed(self, data: bytes, pos: int) -> int:
        taken = min(self._left, len(data) - pos)
        self._left -= taken
        self.done = self._left == 0
        return pos + taken


class _ToTheEnd(Body):
    """Everything until the connection ends."""

    __slots__ = ()
    ends_with_connection = True

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes, pos: int) -> int:
        return len(data)


class _Chunked(Body):
    """Chunks of announced sizes, a chunk of size 0, trailer lines, an empty line."""

    __slots__ = ("_left", "_line", "_state", "_trailers")

    def __init__(self) -> None:
        self.done = False
        self._state = "size"
        self._left = 0  # bytes of the open chunk still to come
        self._line = b""  # an unfinished line
        self._trailers = 0

    def feed(self, data: bytes, pos: int) -> int:
        end = len(data)
        while pos < end and not self.done:
            if self._state == "data":
                taken = min(self._left, end - pos)
                self._left -= taken
                pos += taken
                if not self._left:
                    self._state = "after data"
                continue
            cut = data.find(b"\n", pos) + 1
            line = self._line + data[pos : cut or end]
            pos = cut or end
            if len(line) > _MAX_LINE_BYTES:
                raise Unframed
            self._line = b"" if cut else line
            if cut:
                self._take_line(line)
        return pos

    def _take_line(self, line: bytes) -> None:
        if self._state == "size":
            size = _chunk_size(line)
            if size is None:
                raise Unframed
            self._left = int(size.group(1), 16)
            self._state = "data" if self._left else "trailers"
        elif self._state == "after data":
            if line not in (b"\r\n", b"\n"):
                raise Unframed
            self._state = "size"
        else:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS_BYTES:
                raise Unframed
            self.done = line in (b"\r\n", b"\n")


def body_of(head: bytes, *, may_end_with_connection: bool) -> Body:
    """The body that a head announces.

    Raises:
        Unframed: Lengths that contradict each other or are no numbers, or a coding nobody can delimit.
    """
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    for name, value in _length_headers(head):
        parts = [part.strip() for part in value.split(b",")]
        if name.lower() == b"content-length":
            lengths.update(parts)
        else:
            codings += [part.lower() for part in parts]
    if codings:
        if codings[-1] == b"chunked":
            return _Chunked()
        if not may_end_with_connection:
            raise Unframed
        return _ToTheEnd()
    if not lengths:
        return _ToTheEnd() if may_end_with_connection else Body()
    length = lengths.pop()
    if lengths or not _digits(length):
        raise Unframed
    return _Counted(int(length))
