"""Draws that stay the same across Python versions.

Only `random.Random.random()` is promised to give the same sequence for ever (docs of `random`,
"Notes on Reproducibility"); `shuffle`, `sample` and `choice` are not. Plans must be drawn again from
a seed years later, so everything here stands on `random()` alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

__all__ = ["below", "pick", "shuffled", "uniform"]

T = TypeVar("T")


def below(rng: random.Random, limit: int) -> int:
    """A whole number in [0, limit)."""
    return int(rng.random() * limit)


def uniform(rng: random.Random, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * rng.random()


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """One of the items."""
    return items[below(rng, len(items))]


def shuffled(rng: random.Random, items: Iterable[T]) -> list[T]:
    """The items in random order (Fisher-Yates); the argument is left as it is."""
    deck = list(items)
    for last in range(len(deck) - 1, 0, -1):
        other = below(rng, last + 1)
        deck[last], deck[other] = deck[other], deck[last]
    return deck
