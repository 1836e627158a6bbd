"""Newline-delimited JSON: one message per line.

The class is the value of "type" of the line's object, or else of its "body" object; "line" where
there is none, where it is no string, or where the line is no JSON. Blank lines are no messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES, NONE, Frame

__all__ = ["JsonLinesFramer"]

_DEFAULT_CLASS = "line"
_MAX_READ_BYTES = 1024 * 1024  # longer lines are counted, but not read for their class


class JsonLinesFramer:
    """Finds lines; reads each for its class."""

    __slots__ = ("_kept", "_read", "_size", "lost")

    def __init__(self) -> None:
        from pytest_coordchaos.relay.framing.json_class import read_class  # loads msgspec: only where it is needed

        self.lost = False
        self._kept: list[bytes] = []  # the open line, as far as it is worth reading
        self._size = 0  # bytes of the open line so far
        self._read = read_class

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The lines whose newline is in `data`."""
        if self.lost:
            return NONE
        lines = data.split(b"\n")
        out: list[Frame] = []
        for line in lines[:-1]:
            self._add(line)
            self._end(out)
            if self.lost:
                return out
        self._add(lines[-1])
        if self._size > MAX_MESSAGE_BYTES:
            self.lost = True
            self._kept.clear()
        return out

    def finish(self) -> Sequence[Frame]:
        """Nothing: a line without its newline is no message."""
        return NONE

    def unfinished(self) -> tuple[bytes, int]:
        """Of the line that has begun: a stand-in for what was seen of it, blank or not."""
        written = self._size > _MAX_READ_BYTES or any(part.strip() for part in self._kept)
        return (b"x" if written else b" " if self._size else b""), 0

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > _MAX_READ_BYTES:
            self._kept.clear()
        elif part:
            self._kept.append(part)

    def _end(self, out: list[Frame]) -> None:
        size, kept = self._size, self._kept
        line = kept[0] if len(kept) == 1 else b"".join(kept)
        self._size = 0
        kept.clear()
        if size > MAX_MESSAGE_BYTES:
            self.lost = True
        elif size > _MAX_READ_BYTES:
            out.append((_DEFAULT_CLASS, size + 1, ()))
        elif line.strip():
            out.append((self._read(line), size + 1, ()))
