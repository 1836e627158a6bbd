"""`slow_close`: the end of a stream, or its reset, goes on `delay` milliseconds late; data at once.

Removed: the close goes on.
"""

from __future__ import annotations

from pytest_coordchaos.relay.toxics.base import NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import MS, ToxicStage, is_mark

__all__ = ["SlowClose"]


class SlowClose(ToxicStage):
    """Delays marks. The attribute `delay` is milliseconds."""

    __slots__ = ()
    type = "slow_close"
    attributes = ("delay",)

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item; a mark's time counts from here."""
        super().put((now_ns, *item[1:]) if is_mark(item) else item, now_ns)

    def due_ns(self) -> int:
        """At once for data, later for a mark."""
        if not self.queue:
            return NEVER
        item = self.queue[0]
        return item[0] + max(0, self.values["delay"]) * MS if is_mark(item) else 0
