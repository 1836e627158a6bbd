"""What the stages of toxics have in common: a type's name, its attributes, and a change of these. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from pytest_coordchaos.relay.toxics.base import MARKS, Holding, Item

__all__ = ["MS", "ToxicStage", "is_mark"]

MS = 1_000_000
"""Nanoseconds of a millisecond."""


def is_mark(item: Item) -> bool:
    """Whether it is a mark, not data."""
    return id(item[1]) in MARKS


class ToxicStage(Holding):
    """One toxic on one direction of one connection. On its own it passes everything on: the type `noop`.

    Args:
        values: Its attributes, all of them.
        rng: What it draws from.
        now_ns: When it comes into force.

    Attributes:
        type: The name of its type.
        attributes: Names of its attributes, whole numbers, in the order in which they are shown.
    """

    __slots__ = ("rng", "values")
    type: ClassVar[str] = "noop"
    attributes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: Mapping[str, int], rng: Random, now_ns: int) -> None:
        super().__init__()
        self.values = values
        self.rng = rng

    def update(self, values: Mapping[str, int], now_ns: int) -> None:
        """Other attributes from now on, for what is held as well."""
        self.values = values
