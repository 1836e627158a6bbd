"""`timeout`: no data passes, and after `timeout` milliseconds without data the connection is closed.

Each chunk of this direction starts the time anew. 0: never closed. A change starts it anew too, and keeps the
connection; removal of the toxic closes it, for its stream has a hole.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import CLOSE, NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import MS, Chance, ToxicStage, is_mark

__all__ = ["Timeout"]


class Timeout(ToxicStage):
    """Drops data. The attribute `timeout` is milliseconds."""

    __slots__ = ("_closed", "_since_ns")
    type = "timeout"
    attributes = ("timeout",)
    needs_room = False

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._since_ns = now_ns
        self._closed = False

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Another time, from now on."""
        self.values = values
        self._since_ns = now_ns

    def put(self, item: Item, now_ns: int) -> None:
        """Drop data; the end of the stream passes."""
        self._since_ns = now_ns
        if is_mark(item) and not self._closed:
            super().put(item, now_ns)

    def take(self, now_ns: int) -> Item | None:
        """A mark, or the close when it is time."""
        if self.queue:
            return self.pop()
        return self._close(now_ns) if self.due_ns() <= now_ns else None

    def due_ns(self) -> int:
        """When the connection is to be closed."""
        if self.queue:
            return 0
        timeout = self.values["timeout"]
        return self._since_ns + timeout * MS if timeout > 0 and not self._closed else NEVER

    def remove(self, now_ns: int) -> list[Item]:
        """The connection is closed."""
        return self.flush() + ([] if self._closed else [self._close(now_ns)])

    def _close(self, now_ns: int) -> Item:
        self._closed = True
        return now_ns, CLOSE, 0, 0
