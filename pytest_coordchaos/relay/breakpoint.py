"""Waiting for the k-th message of a class on the links between nodes, and holding it where it is, with all that follows it there.

Each direction that may carry it has a stage of the breakpoint's own before all others. When the message has come, its stage
gives nothing out any more until the breakpoint is removed; other directions go on. What the message came in one piece
with is held too. A cut that is put in force meanwhile takes what is held, as it takes everything that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from pytest_coordchaos.faults.triggers import MessageTrigger
from pytest_coordchaos.relay.toxics.base import NEVER, Holding, Item

if TYPE_CHECKING:
    from pytest_coordchaos.relay.delivery import Delivery
    from pytest_coordchaos.relay.link import Link
    from pytest_coordchaos.relay.store import Store

__all__ = ["Breakpoint"]


class Breakpoint:
    """One message that is waited for.

    Args:
        trigger: Which.
        links: Of all nodes.
        store: Knows the classes of messages.

    Attributes:
        came: It did, and is held.
    """

    def __init__(self, trigger: MessageTrigger, links: Iterable[Link], store: Store) -> None:
        self.came = asyncio.Event()
        self._trigger = trigger
        self._left = trigger.count
        self._store = store
        self._links = list(links)
        self._stages: dict[Delivery, _Stage] = {}
        nodes = {link.spec.link.target for link in self._links}
        for link in self._links:
            name, trigger_class = link.spec.link, trigger.message_class
            if name.source in nodes:
                ways = [trigger.fits(trigger_class, *pair) for pair in ((name.source, name.target), (name.target, name.source))]
                self._watch(link, ways)

    def _watch(self, link: Link, ways: list[bool]) -> None:
        join = partial(self._join, ways)
        link.toxics.watchers[self] = join
        for conn in link.connections:
            if conn.probe is None:
                join(conn.up, conn.down)

    def _join(self, ways: list[bool], up: Delivery, down: Delivery) -> None:
        for wanted, flow in zip(ways, (up, down), strict=True):
            if wanted and flow not in self._stages and not self.came.is_set():
                self._stages[flow] = stage = _Stage(self)
                flow.add_front(stage)

    def remove(self) -> None:
        """Wait no more; what is held goes on. Idempotent."""
        for link in self._links:
            link.toxics.watchers.pop(self, None)
        stages, self._stages = self._stages, {}
        for flow, stage in stages.items():
            flow.remove_stage(stage)

    def passes(self, first: int, count: int) -> bool:
        """Count messages by their rows; False: the one that is waited for is among them."""
        if self.came.is_set():
            return True
        self._left -= sum(self._store.class_of(row) == self._trigger.message_class for row in range(first, first + count))
        if self._left <= 0:
            self.came.set()
        return self._left > 0


class _Stage(Holding):
    """The breakpoint on one direction of one connection."""

    __slots__ = ("_holds", "_point")

    def __init__(self, point: Breakpoint) -> None:
        super().__init__()
        self._holds = False
        self._point = point

    def put(self, item: Item, now_ns: int) -> None:
        """Take an item in, and look whether it is the one."""
        self._holds = self._holds or not self._point.passes(item[2], item[3])
        super().put(item, now_ns)

    def due_ns(self) -> int:
        """At once, unless the message is here."""
        return NEVER if self._holds else super().due_ns()
