"""`reset_peer`: `timeout` milliseconds after the first data (or end) in its direction both ends are reset.

What comes meanwhile is held, and discarded by the reset; a toxic removed before its time passes it on. An idle
connection is never reset.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.toxics.base import ABORT, NEVER, Item
from pytest_coordchaos.relay.toxics.toxic import MS, Chance, ToxicStage

__all__ = ["ResetPeer"]


class ResetPeer(ToxicStage):
    """Resets. The attribute `timeout` is milliseconds; 0: at once."""

    __slots__ = ("_done", "_since_ns")
    type = "reset_peer"
    attributes = ("timeout",)
    needs_room = False

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__(values, chance, now_ns)
        self._since_ns = 0
        self._done = False

    def put(self, item: Item, now_ns: int) -> None:
        """The first one starts the time."""
        if self._done:
            return
        if not self.queue:
            self._since_ns = now_ns
        super().put(item, now_ns)

    def take(self, now_ns: int) -> Item | None:
        """The reset when it is time."""
        if self.due_ns() > now_ns:
            return None
        self._done = True
        self.flush()
        return now_ns, ABORT, 0, 0

    def due_ns(self) -> int:
        """When to reset."""
        return self._since_ns + max(0, self.values["timeout"]) * MS if self.queue else NEVER
