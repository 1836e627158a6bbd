"""A message or a forced write of a simulation that somebody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger

__all__ = ["Awaited"]


class Awaited:
    """Counts what fits a trigger. The waiter goes on at the same instant, while the message is under way.

    Args:
        trigger: What is waited for.
        nodes: Whose messages count.
        came: Done when it is the last one's turn.
    """

    def __init__(self, trigger: MessageTrigger | SyncTrigger, nodes: Collection[str], came: asyncio.Future[None]) -> None:
        self.came = came
        self._trigger = trigger
        self._nodes = nodes
        self._left = trigger.count

    def message(self, name: str, sender: str, receiver: str) -> None:
        """A node offers a message."""
        trigger = self._trigger
        if isinstance(trigger, MessageTrigger) and sender in self._nodes and receiver in self._nodes:
            self._count(trigger.fits(name, sender, receiver))

    def sync(self, node: str) -> None:
        """A node asks for a forced write."""
        trigger = self._trigger
        if isinstance(trigger, SyncTrigger):
            self._count(trigger.node == node)

    def _count(self, fits: bool) -> None:
        self._left -= fits
        if self._left <= 0 and not self.came.done():
            self.came.set_result(None)
