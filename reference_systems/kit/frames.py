"""Frames: how nodes and clients of the reference systems cut their bytes into messages. Pure.

Layout, big-endian: `u32` length (of all that follows it), `u16` class, `u64` operation id, `u16` sender,
body, `u32` CRC-32 of everything before it. Operation id 0 means none. With the top bit set the low 16 bits
are a count k, and the body begins with k `u64` operation ids: a batch, which costs each of them 1/k.

TCP's own checksum lets about one damaged segment in 65536 through, and says nothing of what a faulty machine
in the middle did: without this one, a bit flipped in an entry of a log would be agreed upon like any other.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["MAX_BATCH", "MAX_FRAME_BYTES", "MAX_OPERATION_ID", "Frame", "FrameDecoder", "FrameError", "encode"]

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Largest value of the length field; anything larger is garbage."""

MAX_BATCH = 0xFFFF
"""Most operation ids that one frame can carry."""

MAX_OPERATION_ID = (1 << 63) - 1
"""Operation ids are 1 to this; the top bit marks a batch."""

_BATCH = 1 << 63
_HEAD = struct.Struct(">IHQH")
_LENGTH = struct.Struct(">I")
_CHECKSUM = struct.Struct(">I")
_FIXED_BYTES = _HEAD.size - _LENGTH.size + _CHECKSUM.size


class FrameError(ValueError):
    """The bytes are not frames, or a frame cannot be written."""


class Frame(NamedTuple):
    """One message. A tuple, because two are made for every message.

    Args:
        kind: Class number; the Port declares its name.
        operations: Ids of the client operations it serves; () for none.
        sender: Index of the sending node in the System's order, from 1; 0 for a client.
        body: What the system makes of it, operation ids not included.
    """

    kind: int
    operations: tuple[int, ...] = ()
    sender: int = 0
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    """The frame's bytes.

    Raises:
        FrameError: A field is out of its range.
    """
    kind, ids, sender, body = frame
    if len(ids) > MAX_BATCH:
        raise FrameError(f"a frame carries {len(ids)} operation ids; allowed: at most {MAX_BATCH}")
    operation = 0
    if len(ids) > 1:
        operation, body = _BATCH | len(ids), _pack_ids(ids) + body
    elif ids:
        operation = ids[0]
        _check_id(operation)
    length = _FIXED_BYTES + len(body)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes is too long; allowed: at most {MAX_FRAME_BYTES}")
    try:
        data = _HEAD.pack(length, kind, operation, sender) + body
    except struct.error as error:
        raise FrameError(f"class {kind} or sender {sender} is out of range; allowed: 0 to 65535") from error
    return data + _CHECKSUM.pack(zlib.crc32(data))


def _pack_ids(ids: Iterable[int]) -> bytes:
    ids = tuple(ids)
    for operation in ids:
        _check_id(operation)
    return struct.pack(f">{len(ids)}Q", *ids)


def _check_id(operation: int) -> None:
    if not 0 <= operation <= MAX_OPERATION_ID:
        raise FrameError(f"operation id {operation} is out of range; allowed: 0 to {MAX_OPERATION_ID}")


class FrameDecoder:
    """Cuts a stream of bytes into frames, however the stream was chopped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order.

        Raises:
            FrameError: The stream is not made of frames; it cannot be read any further.
        """
        buffer = self._buffer
        if not buffer:  # most often: whole frames, which need not be copied
            frames, end = _cut(data)
            if end < len(data):
                buffer += data[end:]
            return frames
        buffer += data
        frames, end = _cut(buffer)
        del buffer[:end]
        return frames


def _cut(data: bytes | bytearray) -> tuple[list[Frame], int]:
    """The frames at the start of `data`, and where they end."""
    frames, start, size = list[Frame](), 0, len(data)
    while size - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data, start)
        if not _FIXED_BYTES <= length <= MAX_FRAME_BYTES:
            raise FrameError(f"length field says {length} bytes; allowed: {_FIXED_BYTES} to {MAX_FRAME_BYTES}")
        end = start + _LENGTH.size + length
        if size < end:
            break
        frames.append(_parse(data, start, end))
        start = end
    return frames, start


def _parse(buffer: bytes | bytearray, start: int, end: int) -> Frame:
    end -= _CHECKSUM.size
    if _CHECKSUM.unpack_from(buffer, end)[0] != zlib.crc32(memoryview(buffer)[start:end]):
        raise FrameError(f"the checksum of a frame of {end + _CHECKSUM.size - start} bytes does not fit")
    _, kind, operation, sender = _HEAD.unpack_from(buffer, start)
    body = start + _HEAD.size
    ids: tuple[int, ...] = (operation,) if operation else ()
    if operation & _BATCH:
        count = operation & MAX_BATCH
        if operation != _BATCH | count or count == 0 or body + 8 * count > end:
            raise FrameError(f"batch field {operation:#x} does not fit a body of {end - body} bytes")
        ids = struct.unpack_from(f">{count}Q", buffer, body)
        body += 8 * count
    return Frame(kind, ids, sender, bytes(buffer[body:end]))
