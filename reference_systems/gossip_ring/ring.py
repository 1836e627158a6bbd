"""A consistent-hash ring with virtual nodes (Karger et al. 1997). Pure.

Places are hashes of names and keys that every process computes alike; Python's own `hash` differs from process to process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["SIZE", "Ring", "place_of"]

SIZE = 1 << 64
"""Places on the ring."""


def place_of(text: str) -> int:
    """Where a key, or a point of a member, lies."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Ring:
    """Who owns which key. A key belongs to the first point at or after its place.

    Args:
        points: Virtual nodes of each member: shares differ by about 1/√points.
    """

    def __init__(self, points: int) -> None:
        self._points = points
        self._members: dict[str, None] = {}
        self._places: list[tuple[int, str]] = []

    @property
    def members(self) -> tuple[str, ...]:
        """Who is on it, sorted."""
        return tuple(sorted(self._members))

    def set_members(self, names: Iterable[str]) -> None:
        """Exactly these are on it; those who stay keep their points."""
        wanted = dict.fromkeys(names)
        gone = [name for name in self._members if name not in wanted]
        if gone:
            self._places = [place for place in self._places if place[1] in wanted]
        new = [(place, name) for name in wanted if name not in self._members for place in self._points_of(name)]
        self._places = sorted(self._places + new) if new else self._places
        self._members = wanted

    def _points_of(self, name: str) -> list[int]:
        return [place_of(f"{name}#{number}") for number in range(self._points)]

    def owner(self, key: str) -> str | None:
        """Whose key it is; None: nobody is on the ring."""
        if not self._places:
            return None
        at = bisect_left(self._places, (place_of(key), ""))
        return self._places[at % len(self._places)][1]

    def shares(self) -> dict[str, float]:
        """Member -> its share of all places; they add up to 1."""
        shares = dict.fromkeys(self.members, 0.0)
        before = self._places[-1][0] - SIZE if self._places else 0
        for place, name in self._places:
            shares[name] += (place - before) / SIZE
            before = place
        return shares
