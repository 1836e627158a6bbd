"""Where a RESP value ends: lines, bulks and aggregates of RESP2 and RESP3, nested and streamed.

What a value means (a command, a reply, a push) is `resp.py`'s business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES, NONE, Frame, Unframed

__all__ = ["ValuesFramer"]

_MAX_LINE_BYTES = 64 * 1024
_MAX_DEPTH = 64
_MAX_DIGITS = 10
_CR, _LF, _END, _PART = b"\r\n.;"
_LINES = b"+-:_#,("
_BULKS = b"$!="
_AGGREGATES = {b"*"[0]: (1, 0), b"~"[0]: (1, 0), b">"[0]: (1, 0), b"%"[0]: (2, 0), b"|"[0]: (2, 1)}
"""Kind -> values inside per entry, and besides: an attribute counts as one with the value it annotates."""

_STREAMED, _STREAMED_BULK = -1, -2  # instead of a count of values


class ValuesFramer(ABC):
    """Follows one direction from value to value; what it keeps is bounded: an open line, a name, counts of what is open."""

    __slots__ = ("_left", "_levels", "_line", "_name", "_name_room", "_size", "lost")

    def __init__(self) -> None:
        self.lost = False
        self._line = bytearray()  # an unfinished line
        self._left = 0  # bytes of the open bulk still to come, its line end included
        self._levels: list[int] = []  # of each open aggregate: how many values are still to come
        self._size = 0  # bytes since the last message, before what is being looked at
        self._name = b""  # the message's first bulk, as far as it can matter
        self._name_room = 0  # bytes it may still grow by

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The messages whose last byte is in `data`."""
        if self.lost:
            return NONE
        out: list[Frame] = []
        try:
            self._scan(data, out)
        except Unframed:
            self.lost = True
            self._line.clear()
            self._levels.clear()
        return out

    def finish(self) -> Sequence[Frame]:
        """Nothing: a value cut short is no message."""
        return NONE

    @abstractmethod
    def _begin(self, line: bytes) -> bool:
        """Take the line a message begins with; returns whether it ends it."""

    @abstractmethod
    def _end(self) -> str:
        """A message ended; returns its class."""

    def _whole(self, data: bytes, pos: int, out: list[Frame]) -> int:
        """Count whole messages at `pos` at once, where that is quicker; returns where they end."""
        return pos

    def _scan(self, data: bytes, out: list[Frame]) -> None:
        end, levels = len(data), self._levels
        pos = start = 0 if levels or self._line else self._whole(data, 0, out)
        while pos < end:
            if self._left:
                pos, ended = self._fill(data, pos)
            else:
                cut = data.find(b"\n", pos) + 1
                if not cut:
                    self._keep(data[pos:])
                    break
                line = data[pos:cut]
                if self._line or cut - pos > _MAX_LINE_BYTES:
                    self._keep(line)
                    line = bytes(self._line)
                    self._line.clear()
                pos = cut
                ended = self._inside(line) if levels else self._begin(line)
            if ended and (not levels or self._climb()):
                out.append((self._end(), self._size + pos - start, ()))
                self._size, self._name, self._name_room = 0, b"", 0
                pos = start = self._whole(data, pos, out)
        self._size += end - start

    def _keep(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > _MAX_LINE_BYTES:
            raise Unframed

    def _fill(self, data: bytes, pos: int) -> tuple[int, bool]:
        """Take bytes of the open bulk; returns where it stopped, and whether the bulk ended."""
        stop = min(pos + self._left, len(data))
        if self._name_room:
            part = data[pos : min(stop, pos + self._name_room)]
            self._name += part
            self._name_room -= len(part)
        self._left -= stop - pos
        if self._left:
            return stop, False
        self._name_room = 0
        if data[stop - 1] != _LF:
            raise Unframed
        return stop, True

    def _climb(self) -> bool:
        """A value ended: close what it was the last of; returns whether that was everything."""
        levels = self._levels
        while levels:
            if levels[-1] < 0:
                return False
            levels[-1] -= 1
            if levels[-1]:
                return False
            levels.pop()
        return True

    def _inside(self, line: bytes) -> bool:
        """Take a line inside an aggregate; returns whether it ended a value."""
        kind, top = line[0], self._levels[-1]
        if top == _STREAMED_BULK:
            return self._part(line)
        if kind == _END and top == _STREAMED:
            self._levels.pop()
            return True
        return self._value(line)

    def _part(self, line: bytes) -> bool:
        """Take the line a part of a streamed bulk begins with; an empty part ends the bulk."""
        size = number(line)
        if line[0] != _PART:
            raise Unframed
        if size:
            self._open_bulk(size)
            return False
        self._levels.pop()
        return True

    def _value(self, line: bytes) -> bool:
        """Take the line any value begins with; returns whether it is all of it."""
        kind = line[0]
        if kind in _BULKS:
            if line == b"$?\r\n":
                self._open(_STREAMED_BULK)
            elif line != b"$-1\r\n":
                self._open_bulk(number(line))
            return line == b"$-1\r\n"
        if kind in _AGGREGATES:
            return line == b"*-1\r\n" or self._aggregate(line)
        if kind not in _LINES or line[-2] != _CR:
            raise Unframed
        return True

    def _open_bulk(self, size: int) -> None:
        if size > MAX_MESSAGE_BYTES:
            raise Unframed
        self._left = size + 2
        self._name_room = min(self._name_room, size)

    def _aggregate(self, line: bytes) -> bool:
        each, besides = _AGGREGATES[line[0]]
        if line[1:] == b"?\r\n":
            self._open(_STREAMED)
            return False
        count = number(line) * each + besides
        if count:
            self._open(count)
        return not count

    def _open(self, count: int) -> None:
        if len(self._levels) >= _MAX_DEPTH:
            raise Unframed
        self._levels.append(count)


def number(line: bytes) -> int:
    """The number after a line's first byte; Unframed where there is none."""
    digits = line[1:-2]
    if not digits.isdigit() or len(digits) > _MAX_DIGITS or line[-2] != _CR:
        raise Unframed
    return int(digits)
