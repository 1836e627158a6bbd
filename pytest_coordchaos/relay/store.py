"""The relay's memory of messages: packed rows in segments, bounded; and the counters of each direction.

A *way* is one direction of one link; ways and class names are known by number in rows. When the
store is full the oldest segment goes: windows that need it are said to be incomplete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

from pytest_coordchaos.relay.framing.base import Frame

if TYPE_CHECKING:
    from pytest_coordchaos.relay.counter import Counter

__all__ = ["BATCH_BIT", "DEFAULT_MAX_MESSAGES", "ROW", "Store", "Tally", "Window"]

ROW = Struct("<qqIIQQ")
"""offered_ns, delivered_ns (0: not), way, class, size in bytes, operation id.

An operation id with `BATCH_BIT` set is a key of the window's batches, for messages with several ids."""

BATCH_BIT = 1 << 63
DEFAULT_MAX_MESSAGES = 4 * 1024 * 1024

_MAX_CLASSES = 10_000
_OTHER_CLASS = "other"  # where the classes of a protocol without end are gathered

_SEGMENT_BITS = 15
_SEGMENT_ROWS = 1 << _SEGMENT_BITS
_SEGMENT_MASK = _SEGMENT_ROWS - 1
_pack_into = ROW.pack_into
_pack_ns_into = Struct("<q").pack_into
_DELIVERED_AT = 8  # offset of delivered_ns in a row
_ROW_BYTES = ROW.size
_CLASS = 3  # its place in a row


class Tally:
    """Counters of one way; they only grow.

    Attributes:
        way: Its number in the store's rows; -1: not counted (a probe's connection).
        offered, delivered: Bytes received from the sender; passed on to the receiver.
        framed: Bytes of messages that were seen to their end, and of what is known to be no message.
        messages: Messages offered.
        turns: Direction changes (kept on the upstream way).
        saturated: How often a delay queue was full and held the sender back.
    """

    __slots__ = ("delivered", "framed", "messages", "offered", "saturated", "turns", "way")

    def __init__(self, way: int) -> None:
        self.way = way
        self.offered = self.delivered = self.framed = self.messages = self.turns = self.saturated = 0

    def totals(self) -> tuple[int, int, int, int]:
        """offered, delivered, framed, turns: what a mark remembers."""
        return self.offered, self.delivered, self.framed, self.turns


class _Segment:
    __slots__ = ("batches", "rows")

    def __init__(self) -> None:
        self.rows = bytearray(_SEGMENT_ROWS * _ROW_BYTES)
        self.batches: list[tuple[int, tuple[int, ...]]] = []  # (row, ids)


class Store:
    """Rows of messages by their running number, in order of `offered_ns`.

    Attributes:
        uncounted: Bytes passed on whose messages are not in the store yet (counter, bytes, when), in order; see `settle`.
        next_row: Number of the next message.
        class_names: Names of classes by number.

    Args:
        max_messages: How many rows are kept at most (rounded up to whole segments).
    """

    def __init__(self, max_messages: int = DEFAULT_MAX_MESSAGES) -> None:
        self.max_messages = max_messages
        self.uncounted: list[tuple[Counter, bytes, int]] = []
        self.next_row = 0
        self.class_names: list[str] = []
        self._class_numbers: dict[str, int] = {}
        self._max_segments = max(2, -(-max_messages // _SEGMENT_ROWS))
        self._segments: deque[_Segment] = deque()
        self._first_segment = 0

    @property
    def first_row(self) -> int:
        """Number of the oldest row still kept."""
        return self._first_segment << _SEGMENT_BITS

    def settle(self) -> None:
        """Count what was passed on and is not counted yet: before anything is read, and before later bytes are counted.

        One by one, between a read and a write, counting would cost thrice as much.
        """
        uncounted = self.uncounted
        for counter, data, passed_ns in uncounted:
            counter.count(data, passed_ns, passed_ns)
        uncounted.clear()

    def add(self, frames: Sequence[Frame], tally: Tally, offered_ns: int, delivered_ns: int) -> int:
        """Keep messages of one way that ended together; returns the first one's number."""
        first = row = self.next_row
        framed = 0
        for name, size, operations in frames:
            number = self._class_numbers.get(name)
            if number is None:
                number = self._new_class(name)
            offset = row & _SEGMENT_MASK
            if not offset:
                self._new_segment()
            if not operations:
                operation = 0
            elif len(operations) == 1 and operations[0] < BATCH_BIT:
                operation = operations[0]
            else:
                operation = self._new_batch(row, operations)
            _pack_into(self._segments[-1].rows, offset * _ROW_BYTES, offered_ns, delivered_ns, tally.way, number, size, operation)
            framed += size
            row += 1
        self.next_row = row
        tally.framed += framed
        tally.messages += row - first
        return first

    def deliver(self, first: int, count: int, delivered_ns: int) -> None:
        """Note that `count` rows from number `first` on were passed on now."""
        for row in range(max(first, self.first_row), first + count):
            segment = self._segments[(row >> _SEGMENT_BITS) - self._first_segment]
            _pack_ns_into(segment.rows, (row & _SEGMENT_MASK) * _ROW_BYTES + _DELIVERED_AT, delivered_ns)

    def class_of(self, row: int) -> str:
        """The class of a message that is still kept."""
        segment = self._segments[(row >> _SEGMENT_BITS) - self._first_segment]
        number: int = ROW.unpack_from(segment.rows, (row & _SEGMENT_MASK) * _ROW_BYTES)[_CLASS]
        return self.class_names[number]

    def window(self, since: int, until: int) -> Window:
        """Rows since <= number < until, as far as they are still kept."""
        until = min(until, self.next_row)
        start = min(max(since, self.first_row), until)
        parts: list[memoryview] = []
        batches: dict[int, tuple[int, ...]] = {}
        row = start
        while row < until:
            segment = self._segments[(row >> _SEGMENT_BITS) - self._first_segment]
            offset = row & _SEGMENT_MASK
            count = min(_SEGMENT_ROWS - offset, until - row)
            parts.append(memoryview(segment.rows)[offset * _ROW_BYTES : (offset + count) * _ROW_BYTES])
            batches.update((number, ids) for number, ids in segment.batches if row <= number < row + count)
            row += count
        return Window(rows=b"".join(parts), batches=batches, missing=max(0, start - min(since, until)))

    def _new_class(self, name: str) -> int:
        if len(self.class_names) >= _MAX_CLASSES and name != _OTHER_CLASS:
            return self._class_numbers.get(_OTHER_CLASS) or self._new_class(_OTHER_CLASS)
        number = self._class_numbers[name] = len(self.class_names)
        self.class_names.append(name)
        return number

    def _new_segment(self) -> None:
        self._segments.append(_Segment())
        if len(self._segments) > self._max_segments:
            self._segments.popleft()
            self._first_segment += 1

    def _new_batch(self, row: int, operations: tuple[int, ...]) -> int:
        self._segments[-1].batches.append((row, operations))
        return BATCH_BIT | row


class Window:
    """Some rows, ready to travel.

    Attributes:
        rows: Packed rows (`ROW`).
        batches: Row number -> operation ids, for rows whose operation has `BATCH_BIT`.
        missing: How many rows of the window are not kept any more.
    """

    __slots__ = ("batches", "missing", "rows")

    def __init__(self, *, rows: bytes, batches: dict[int, tuple[int, ...]], missing: int) -> None:
        self.rows = rows
        self.batches = batches
        self.missing = missing
