"""Where a frame ends, what class it is of, and what of it may be corrupted: for protocols with independent frames. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Protocol

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES
from pytest_coordchaos.relay.framing.frames import HEADER_BYTES

__all__ = ["DATAGRAM_CLASS", "DatagramFormat", "FrameFormat", "FramesFormat", "LinesFormat", "format_of"]

DATAGRAM_CLASS = "datagram"
"""The class of datagrams that are no message of the declared protocol, or of none."""

_NEWLINE = 10
_LENGTH_BYTES = 4
_header = Struct(">IH").unpack_from


class FrameFormat(Protocol):
    """How one protocol's frames look."""

    def end(self, data: bytearray, start: int) -> int:
        """Where the frame ends that begins at `start`; 0: it is not whole yet; -1: no frame of this protocol is there."""
        ...

    def class_of(self, frame: bytes) -> str | None:
        """The class of a whole frame; None: it is no message."""
        ...

    def corrupt(self, frame: bytes, place: float) -> bytes:
        """The frame with one bit of its body flipped, chosen by `place` in [0, 1); a frame without a body as it is."""
        ...


class FramesFormat:
    """Length-prefixed frames: the header stays as it is, so that the next frame is found.

    Args:
        classes: Class number -> name.
    """

    def __init__(self, classes: Mapping[int, str]) -> None:
        self._classes = classes

    def end(self, data: bytearray, start: int) -> int:
        """By the length field."""
        if len(data) - start < _LENGTH_BYTES:
            return 0
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
        if not HEADER_BYTES - _LENGTH_BYTES <= length <= MAX_MESSAGE_BYTES:
            return -1
        end = start + _LENGTH_BYTES + length
        return end if end <= len(data) else 0

    def class_of(self, frame: bytes) -> str:
        """By the class number."""
        number = _header(frame)[1]
        return self._classes.get(number) or f"class-{number}"

    def corrupt(self, frame: bytes, place: float) -> bytes:
        """Behind the header."""
        return _flip(frame, HEADER_BYTES, len(frame), place)


class LinesFormat:
    """One JSON value a line: the newline stays, and none is made."""

    def __init__(self) -> None:
        from pytest_coordchaos.relay.framing.json_class import read_class  # loads msgspec: only where it is needed

        self._read = read_class

    def end(self, data: bytearray, start: int) -> int:
        """At the newline."""
        found = data.find(b"\n", start)
        if found < 0:
            return -1 if len(data) - start > MAX_MESSAGE_BYTES else 0
        return found + 1

    def class_of(self, frame: bytes) -> str | None:
        """By its "type"; a blank line is no message."""
        line = frame.strip()
        return self._read(line) if line else None

    def corrupt(self, frame: bytes, place: float) -> bytes:
        """Before the newline."""
        return _flip(frame, 0, len(frame) - frame.endswith(b"\n"), place, never=_NEWLINE)


class DatagramFormat:
    """One datagram is one message, whatever it holds.

    Args:
        inner: The format of messages that datagrams are expected to hold, one each; None: of none.
    """

    def __init__(self, inner: FrameFormat | None) -> None:
        self._inner = inner

    def end(self, data: bytearray, start: int) -> int:
        """All of it."""
        return len(data)

    def class_of(self, frame: bytes) -> str:
        """As the protocol says, where it holds exactly one of its messages."""
        return (self._inner.class_of(frame) if self._whole(frame) else None) or DATAGRAM_CLASS if self._inner else DATAGRAM_CLASS

    def corrupt(self, frame: bytes, place: float) -> bytes:
        """The message's body; anywhere, if it holds none."""
        return self._inner.corrupt(frame, place) if self._inner and self._whole(frame) else _flip(frame, 0, len(frame), place)

    def _whole(self, frame: bytes) -> bool:
        if isinstance(self._inner, LinesFormat):
            return b"\n" not in frame[:-1]
        return self._inner is not None and len(frame) >= HEADER_BYTES and self._inner.end(bytearray(frame), 0) == len(frame)


def format_of(protocol: str, classes: Mapping[int, str]) -> FrameFormat | None:
    """The format of a protocol on a stream; None: its frames depend on each other, or are not known."""
    if protocol == "frames":
        return FramesFormat(classes)
    return LinesFormat() if protocol == "json-lines" else None


def _flip(frame: bytes, start: int, stop: int, place: float, *, never: int = -1) -> bytes:
    if stop <= start:
        return frame
    bit = int(place * (stop - start) * 8)
    at = start + bit // 8
    value = frame[at] ^ (1 << bit % 8)
    if value == never:
        value = frame[at] ^ (1 << (bit + 1) % 8)
    return frame[:at] + bytes((value,)) + frame[at + 1 :]
