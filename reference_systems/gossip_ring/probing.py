"""Whom a member probes: round-robin over a list that is shuffled after each turn (SWIM §4.3). Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Probe", "Turn"]


@dataclass(slots=True, kw_only=True)
class Probe:
    """The probe of this period.

    Args:
        target: Whom it is about.
        seq: What acknowledges it.
        help_at: When others are asked.
        asked: They were.
        acked: It is there.
    """

    target: str
    seq: int
    help_at: float
    asked: bool = False
    acked: bool = False


class Turn:
    """The order of targets. No member is left out for longer than 2n − 3 periods.

    Args:
        rng: Shuffles.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left: list[str] = []

    def joined(self, name: str) -> None:
        """Somebody new: at a random place of the turn."""
        if name not in self._left:
            self._left.insert(self._rng.randrange(len(self._left) + 1), name)

    def next(self, targets: Callable[[], Sequence[str]]) -> str | None:
        """The next target; None: there is nobody.

        Args:
            targets: Who may be probed now.
        """
        possible = targets()
        if not possible:
            return None
        allowed = frozenset(possible)
        for _ in range(2):
            while self._left:
                name = self._left.pop()
                if name in allowed:
                    return name
            self._left = list(possible)
            self._rng.shuffle(self._left)
        return None
