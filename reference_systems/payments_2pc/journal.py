"""Records on their way to the disk, and what may only happen when they are there. Pure.

A *forced* record is worth a sync of its own; a *noted* one goes along with the next. Records keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Journal", "Record"]

Record = dict[str, Any]
"""Plain JSON; `kind` says which: boot, prepared, decided (participant); collecting, commit, end (coordinator)."""


class Journal:
    """Takes records from the protocol and hands them to whoever writes."""

    def __init__(self) -> None:
        self._written = 0
        self._durable = 0
        self._pending: list[Record] = []
        self._last_forced = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def wants_sync(self) -> bool:
        """A forced record waits to be taken."""
        return self._last_forced > self._written - len(self._pending)

    @property
    def has_pending(self) -> bool:
        """Records wait to be taken."""
        return bool(self._pending)

    def note(self, record: Record) -> None:
        """Write it some time; losing it in a crash is harmless."""
        self._written += 1
        self._pending.append(record)

    def force(self, record: Record, then: Callable[[], None]) -> None:
        """Write it now; `then` happens when it is durable."""
        self.note(record)
        self._last_forced = self._written
        self._waiting.append((self._written, then))

    def after(self, then: Callable[[], None]) -> None:
        """Let it happen when all that was forced so far is durable: at once, if it is."""
        if self._last_forced <= self._durable:
            then()
        else:
            self._waiting.append((self._last_forced, then))

    def take(self) -> tuple[int, Sequence[Record]]:
        """All records not taken yet, and the number of the last."""
        records, self._pending = self._pending, []
        return self._written, records

    def became_durable(self, number: int) -> None:
        """Records up to `number` are on the disk."""
        self._durable = number
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()[1]()
