"""`slicer`: data goes on in small pieces of `average_size` ± `size_variation` bytes, `delay` microseconds apart.

Nothing is lost. Removed: the rest goes on at once, whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import Chance, ToxicStage, is_mark

__all__ = ["Slicer"]

_US = 1000
_LATE_NS = 100_000_000


class Slicer(ToxicStage):
    """Cuts data by halves until the pieces are small enough, so that they vary evenly."""

    __slots__ = ("_cuts", "_ready_ns", "_start")
    type = "slicer"
    attributes = ("average_size", "size_variation", "delay")

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._ready_ns = 0
        self._start = 0  # bytes of the oldest item that have gone on
        self._cuts: list[int] = []  # where pieces of it end, as far as they are known, the nearest last

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Other sizes, for the rest of what is held as well."""
        self.values = values
        self._cuts.clear()

    def take(self, now_ns: int) -> Item | None:
        """The next piece, if the pause since the last one is over."""
        due = self.due_ns()
        if due > now_ns:
            return None
        item = self.queue[0]
        if is_mark(item):
            return self.pop()
        on_time_ns = due if now_ns - due < _LATE_NS else now_ns  # a little late is made up for
        self._ready_ns = on_time_ns + max(0, self.values["delay"]) * _US
        start, end = self._start, self._next_cut(len(item[1]))
        if end < len(item[1]):
            self._start = end
            return now_ns, item[1][start:end], 0, 0
        self._start = 0
        self.pop()
        return now_ns, item[1][start:] if start else item[1], item[2], item[3]

    def due_ns(self) -> int:
        """When the pause since the last piece is over, if there is more."""
        return max(self._ready_ns, self.queue[0][0]) if self.queue else NEVER

    def flush(self) -> list[Item]:
        """The rest of what is held, in order."""
        items = super().flush()
        self._cuts.clear()
        if self._start:
            received_ns, data, first, count = items[0]
            items[0] = received_ns, data[self._start :], first, count
            self._start = 0
        return items

    def _next_cut(self, size: int) -> int:
        average, variation = max(1, self.values["average_size"]), max(0, self.values["size_variation"])
        end = self._cuts.pop() if self._cuts else size
        while end - self._start - average > variation and end - self._start > 1:
            self._cuts.append(end)
            middle = self._start + (end - self._start) // 2
            if variation:
                middle += self.rng.randrange(2 * variation) - variation
            end = min(max(middle, self._start + 1), end - 1)
        return end
