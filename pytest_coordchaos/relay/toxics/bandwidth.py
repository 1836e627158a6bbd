"""`bandwidth`: at most `rate` KB (1000 bytes) a second, for each connection by itself.

Data goes on in pieces of at most 100 ms, each when its last byte has had its time. A rate of 0 (or less) holds
everything and loses nothing. Removed: what is held goes on at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import MS, Chance, ToxicStage, is_mark

__all__ = ["Bandwidth"]

_PIECE_MS = 100


class Bandwidth(ToxicStage):
    """Limits the rate. The attribute `rate` is KB/s: bytes a millisecond."""

    __slots__ = ("_free_ns", "_sent")
    type = "bandwidth"
    attributes = ("rate",)

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._free_ns = now_ns  # when the line has sent what it was given
        self._sent = 0  # bytes of the oldest item that have gone on

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Another rate, from the piece in hand on."""
        self.values = values
        self._free_ns = max(self._free_ns, now_ns)

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item."""
        if not self.queue:
            self._free_ns = max(self._free_ns, now_ns)
        super().put(item, now_ns)

    def take(self, now_ns: int) -> Item | None:
        """The next piece, if its time is over."""
        due = self.due_ns()
        if due > now_ns:
            return None
        item = self.queue[0]
        if is_mark(item):
            return self.pop()
        # a little late is made up for; who was held up for longer does not send faster afterwards
        self._free_ns = left_ns = due if now_ns - due < _PIECE_MS * MS else now_ns
        start, size = self._sent, self._piece(item)
        if start + size < len(item[1]):
            self._sent += size
            return left_ns, item[1][start : start + size], 0, 0
        self._sent = 0
        self.pop()
        return left_ns, item[1][start:] if start else item[1], item[2], item[3]

    def due_ns(self) -> int:
        """When the next piece's last byte has had its time."""
        if not self.queue:
            return NEVER
        item, rate = self.queue[0], self.values["rate"]
        if is_mark(item):
            return 0
        return self._free_ns + self._piece(item) * MS // rate if rate > 0 else NEVER

    def flush(self) -> list[Item]:
        """Everything that has not gone on, in order."""
        items = super().flush()
        if self._sent:
            received_ns, data, first, count = items[0]
            items[0] = received_ns, data[self._sent :], first, count
            self._sent = 0
        return items

    def _piece(self, item: Item) -> int:
        return min(len(item[1]) - self._sent, self.values["rate"] * _PIECE_MS)
