"""`latency`: each chunk goes on `latency` ± `jitter` milliseconds after it was received, in order, pipelined.

Two add up. The end of a stream is queued behind the data but not itself delayed. A change holds for what waits, by
its own receive time and its own draw. Removed: what waits goes on at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import NEVER, Item, queue_limit
from pytest_coordchaos.relay.toxics.toxic import MS, Chance, ToxicStage, is_mark

__all__ = ["Latency"]


_LEAST = 32 * 1024 * 1024  # as much as Toxiproxy holds: a short delay must not be a limit of bandwidth
_MIDDLE = 0.5  # the draw that is no jitter


class Latency(ToxicStage):
    """Delays data.

    Attributes `latency` and `jitter` are milliseconds; the delay is a whole number of them, drawn uniformly from
    latency - jitter up to, not including, latency + jitter. A negative one is none.
    """

    __slots__ = ("_draws",)
    type = "latency"
    attributes = ("latency", "jitter")

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._draws: deque[float] = deque()  # one for each item held
        self._size()

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Other delays, for what waits as well."""
        self.values = values
        self._size()

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item."""
        super().put(item, now_ns)
        self._draws.append(self.rng.random() if self.values["jitter"] > 0 else _MIDDLE)

    def take(self, now_ns: int) -> Item | None:
        """The oldest item, if it is due; it left when it was due, whenever it was asked for."""
        due = self.due_ns()
        if due > now_ns:
            return None
        self._draws.popleft()
        item = self.pop()
        return item if is_mark(item) else (max(due, item[0]), *item[1:])

    def due_ns(self) -> int:
        """When the oldest item may go."""
        if not self.queue:
            return NEVER
        item = self.queue[0]
        return 0 if is_mark(item) else item[0] + self._delay_ns(self._draws[0])

    def flush(self) -> list[Item]:
        """Everything, in order."""
        self._draws.clear()
        return super().flush()

    def _delay_ns(self, draw: float) -> int:
        latency, jitter = self.values["latency"], self.values["jitter"]
        if jitter > 0:
            latency += int(draw * 2 * jitter) - jitter
        return max(0, latency) * MS

    def _size(self) -> None:
        longest_ms = max(0, self.values["latency"]) + max(0, self.values["jitter"])
        self.limit = max(_LEAST, queue_limit(longest_ms * MS))
