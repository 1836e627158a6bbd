"""The sliding window of one key. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["SlidingWindow"]

_REMEMBERED_S = 30.0


class SlidingWindow:
    """At most `limit` admissions in any window of this length: each is remembered until it is too old to count.

    A token bucket of capacity c that refills with r a second admits c + r in the first second after a quiet time: with
    c = r that is twice the rate.

    Args:
        window_s: Its length, by the clock that `take` is told.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._admitted: deque[float] = deque()
        self._answered: dict[str, tuple[float, bool]] = {}

    def take(self, who: str, limit: int, now_s: float) -> bool:
        """Whether one more is admitted now. A question that comes twice gets the same answer, and counts once."""
        while self._answered and next(iter(self._answered.values()))[0] < now_s - _REMEMBERED_S:
            del self._answered[next(iter(self._answered))]
        if who not in self._answered:
            room = self.has_room(limit, now_s)
            self._answered[who] = (now_s, room)
            if room:
                self.admit(now_s)
        return self._answered[who][1]

    def has_room(self, limit: int, now_s: float) -> bool:
        """Whether the window that ends now holds fewer admissions than the limit."""
        while self._admitted and self._admitted[0] <= now_s - self._window_s:
            self._admitted.popleft()
        return len(self._admitted) < limit

    def admit(self, now_s: float) -> None:
        """Count one."""
        self._admitted.append(now_s)
