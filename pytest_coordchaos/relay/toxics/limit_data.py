"""`limit_data`: exactly `bytes` bytes pass on each connection, then it is closed.

The count survives changes. 0 closes at the first data.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import CLOSE, NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import Chance, ToxicStage, is_mark

__all__ = ["LimitData"]


class LimitData(ToxicStage):
    """Passes so many bytes. The attribute is called `bytes`."""

    __slots__ = ("_done", "_passed", "_to_close")
    type = "limit_data"
    attributes = ("bytes",)

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._passed = 0
        self._to_close = self._done = False

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item; beyond the limit nothing counts any more."""
        if not self._done:
            super().put(item, now_ns)

    def take(self, now_ns: int) -> Item | None:
        """The next bytes; the close after the last ones allowed."""
        if self._to_close:
            self._to_close = False
            return now_ns, CLOSE, 0, 0
        if not self.queue:
            return None
        item = self.pop()
        return item if is_mark(item) else self._pass(item, now_ns)

    def due_ns(self) -> int:
        """At once, if there is anything."""
        return 0 if self.queue or self._to_close else NEVER

    def flush(self) -> list[Item]:
        """What is held; a close that was due stays due."""
        items = super().flush()
        if self._to_close:
            self._to_close = False
            items.append((0, CLOSE, 0, 0))
        return items

    def _pass(self, item: Item, now_ns: int) -> Item:
        left = max(0, self.values["bytes"] - self._passed)
        data = item[1]
        if len(data) < left:
            self._passed += len(data)
            return item
        self._passed += left
        self._done = True
        super().flush()
        if not left:
            return now_ns, CLOSE, 0, 0
        self._to_close = True
        return item if len(data) == left else (item[0], data[:left], 0, 0)
