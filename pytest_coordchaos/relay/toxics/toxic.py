"""What the stages of toxics have in common: a type's name, its attributes, and a change of these. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import ClassVar

from pytest_coordchaos.relay.toxics.base import MARKS, Holding, Item

__all__ = ["MS", "Chance", "ToxicStage", "is_mark"]

MS = 1_000_000
"""Nanoseconds of a millisecond."""


Chance = Callable[[], Random]
"""Makes the generator a stage draws from, seeded; called only by a stage that draws, for seeding one is slow."""


def is_mark(item: Item) -> bool:
    """Whether it is a mark, not data."""
    return id(item[1]) in MARKS


class ToxicStage(Holding):
    """One toxic on one direction of one connection. On its own it passes everything on: the type `noop`.

    Args:
        values: Its attributes, all of them.
        chance: Makes what it draws from.
        now_ns: When it comes into force.

    Attributes:
        type: The name of its type.
        attributes: Names of its attributes, whole numbers, in the order in which they are shown.
    """

    __slots__ = ("_chance", "_rng", "values")
    type: ClassVar[str] = "noop"
    attributes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: Mapping[str, int], chance: Chance, now_ns: int) -> None:
        super().__init__()
        self.values = values
        self._chance = chance
        self._rng: Random | None = None

    @property
    def rng(self) -> Random:
        """What it draws from."""
        if self._rng is None:
            self._rng = self._chance()
        return self._rng

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Other attributes from now on, for what is held as well."""
        self.values = values
