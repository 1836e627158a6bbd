"""What rides on messages: updates, each on a bounded number of them, the least told first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nsmallest

from reference_systems.gossip_ring.messages import Update, size_of

__all__ = ["Rumours"]


class Rumours:
    """Updates on their way.

    Args:
        limit: On how many messages each rides, now.
        room_bytes: Room in one message.
    """

    def __init__(self, limit: Callable[[], int], room_bytes: int) -> None:
        self._limit = limit
        self._room_bytes = room_bytes
        self._told: dict[str, int] = {}
        self._updates: dict[str, Update] = {}
        self._most = room_bytes // 8  # no update is shorter

    def __len__(self) -> int:
        return len(self._updates)

    def add(self, update: Update) -> None:
        """Tell it; an older rumour about the same member is over."""
        self._updates.pop(update.name, None)
        self._updates[update.name] = update
        self._told[update.name] = 0

    def take(self, first: Iterable[Update] = ()) -> tuple[Update, ...]:
        """What rides on the next message.

        Args:
            first: Rides in any case and is not counted.
        """
        if not self._updates:
            return tuple(first)
        taken = list(first)
        room, limit = self._room_bytes - sum(map(size_of, taken)), self._limit()
        for name in nsmallest(self._most, self._updates, key=self._told.__getitem__):
            update = self._updates[name]
            room -= size_of(update)
            if room < 0:
                break
            if update not in taken:
                taken.append(update)
            self._told[name] += 1
            if self._told[name] >= limit:
                del self._updates[name], self._told[name]
        return tuple(taken)
