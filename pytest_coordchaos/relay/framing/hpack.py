"""Header blocks of HTTP/2 (HPACK, RFC 7541), as far as classes need them: read, bounded, never written."""

from __future__ import annotations

from collections import deque

from pytest_coordchaos.relay.framing.base import Unframed
from pytest_coordchaos.relay.framing.hpack_huffman import decode
from pytest_coordchaos.relay.framing.hpack_tables import STATIC_FIELDS

__all__ = ["HeaderDecoder"]

_FIELD_COST = 32  # what the protocol counts for a field beside its bytes
_DEFAULT_TABLE_BYTES = 4096
_MAX_TABLE_BYTES = 64 * 1024
_MAX_INTEGER_BYTES = 4

_Field = tuple[bytes, bytes]


class HeaderDecoder:
    """One direction's header blocks, in order: each changes the table that the next is read with."""

    __slots__ = ("_limit", "_size", "_table")

    def __init__(self) -> None:
        self._table: deque[_Field] = deque()  # newest first
        self._size = 0
        self._limit = _DEFAULT_TABLE_BYTES

    def decode(self, block: bytes) -> dict[bytes, bytes]:
        """The fields of a whole block; the last of those with one name.

        Raises:
            Unframed: It is no header block, or wants a larger table than 64 KiB.
        """
        fields: dict[bytes, bytes] = {}
        pos, end = 0, len(block)
        while pos < end:
            first = block[pos]
            if first & 0x80:
                index = first & 0x7F
                if index < 0x7F:
                    pos += 1
                else:
                    index, pos = _integer(block, pos, 0x7F)
                name, value = STATIC_FIELDS[index - 1] if 0 < index <= len(STATIC_FIELDS) else self._field(index)
                fields[name] = value
            elif first & 0xE0 == 0x20:
                self._limit, pos = _integer(block, pos, 0x1F)
                self._evict()
            else:
                index, pos = _integer(block, pos, 0x3F if first & 0x40 else 0x0F)
                name, pos = (self._field(index)[0], pos) if index else _string(block, pos)
                value, pos = _string(block, pos)
                fields[name] = value
                if first & 0x40:
                    self._add(name, value)
        return fields

    def _field(self, index: int) -> _Field:
        if not 0 < index <= len(STATIC_FIELDS) + len(self._table):
            raise Unframed
        if index <= len(STATIC_FIELDS):
            return STATIC_FIELDS[index - 1]
        return self._table[index - len(STATIC_FIELDS) - 1]

    def _add(self, name: bytes, value: bytes) -> None:
        self._table.appendleft((name, value))
        self._size += len(name) + len(value) + _FIELD_COST
        self._evict()

    def _evict(self) -> None:
        if self._limit > _MAX_TABLE_BYTES:
            raise Unframed
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _FIELD_COST


def _integer(block: bytes, pos: int, mask: int) -> tuple[int, int]:
    """An integer that begins in the bits of `mask` at `pos`, and where it ends."""
    value = block[pos] & mask
    pos += 1
    if value < mask:
        return value, pos
    for number, byte in enumerate(block[pos : pos + _MAX_INTEGER_BYTES]):
        value += (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, pos + number + 1
    raise Unframed


def _string(block: bytes, pos: int) -> tuple[bytes, int]:
    """A string at `pos`, and where it ends."""
    if pos >= len(block):
        raise Unframed
    coded = block[pos] & 0x80
    size, pos = _integer(block, pos, 0x7F)
    text = block[pos : pos + size]
    if len(text) < size:
        raise Unframed
    return (decode(text) if coded else text), pos + size
