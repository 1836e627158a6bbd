"""Length-prefixed frames, the protocol of the reference systems.

`u32` length (bytes after the length field), `u16` class, `u64` operation id (0 = none), `u16`
sender, body; all big-endian. With the id's top bit set the frame is a batch: the id's low 16 bits
are k, and the body begins with k operation ids of 8 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct, unpack_from

from pytest_coordchaos.relay.framing.base import MAX_MESSAGE_BYTES, NONE, Frame

__all__ = ["BATCH_BIT", "HEADER_BYTES", "FramesFramer"]

HEADER_BYTES = 16
BATCH_BIT = 1 << 63

_LENGTH_BYTES = 4
_MIN_LENGTH = HEADER_BYTES - _LENGTH_BYTES
_unpack_header = Struct(">IHQ").unpack_from


class FramesFramer:
    """Finds frames by their headers alone: bodies are skipped, never copied.

    Args:
        classes: Class number -> name; an unknown number n is called "class-n".
    """

    __slots__ = ("_head", "_names", "_need", "_open", "_skip", "lost")

    def __init__(self, classes: Mapping[int, str]) -> None:
        self.lost = False
        self._names = dict(classes)
        self._head = bytearray()  # an unfinished header (for a batch: with its ids)
        self._need = HEADER_BYTES  # how many bytes of it there must be to go on
        self._skip = 0  # bytes of the open frame's body still to come
        self._open: Frame | None = None

    def feed(self, data: bytes) -> Sequence[Frame]:
        """The frames whose last byte is in `data`."""
        if self.lost:
            return NONE
        size = len(data)
        if size >= HEADER_BYTES and not self._skip and not self._head:
            length, number, operation = _unpack_header(data)
            if length + _LENGTH_BYTES == size and operation < BATCH_BIT:  # most often: one frame, whole and alone
                return ((self._names.get(number) or self._name(number), size, (operation,) if operation else ()),)
        pos, out = 0, list[Frame]()
        if self._skip:
            if len(data) < self._skip:
                self._skip -= len(data)
                return NONE
            pos = self._skip
            self._skip = 0
            out.append(self._open_frame())
        elif self._head:
            self._head += data
            if len(self._head) < self._need:
                return NONE
            data = bytes(self._head)
            self._head.clear()
        self._scan(data, pos, out)
        return out

    def finish(self) -> Sequence[Frame]:
        """Nothing: a frame cut short is no message."""
        return NONE

    def unfinished(self) -> tuple[bytes, int]:
        """Of the frame that has begun: what was seen of its header, or how many bytes of its body are still to come."""
        return bytes(self._head), self._skip

    def _scan(self, data: bytes, pos: int, out: list[Frame]) -> None:
        names, end = self._names, len(data)
        while end - pos >= HEADER_BYTES:
            length, number, operation = _unpack_header(data, pos)
            if not _MIN_LENGTH <= length <= MAX_MESSAGE_BYTES:
                self.lost = True
                return
            operations: tuple[int, ...] = (operation,) if operation else ()
            if operation >= BATCH_BIT:
                need = HEADER_BYTES + 8 * (operation & 0xFFFF)
                if length + _LENGTH_BYTES < need:
                    self.lost = True
                    return
                if end - pos < need:
                    self._keep(data, pos, need)
                    return
                operations = unpack_from(f">{operation & 0xFFFF}Q", data, pos + HEADER_BYTES)
            name = names.get(number) or self._name(number)
            pos += length + _LENGTH_BYTES
            if pos > end:
                self._skip = pos - end
                self._open = (name, length + _LENGTH_BYTES, operations)
                return
            out.append((name, length + _LENGTH_BYTES, operations))
        if pos < end:
            self._keep(data, pos, HEADER_BYTES)

    def _keep(self, data: bytes, pos: int, need: int) -> None:
        self._head += data[pos:]
        self._need = need

    def _open_frame(self) -> Frame:
        frame, self._open = self._open, None
        assert frame is not None, "a body is skipped only after its header was read"
        return frame

    def _name(self, number: int) -> str:
        return self._names.setdefault(number, f"class-{number}")
