"""The choice tape: every decision of a simulation is one bounded draw from a named stream. Pure.

Streams are independent, so that one extra draw of one kind does not reshuffle the others. Choice 0 is always
the benign one (least delay, nothing lost): a tape of zeros is a quiet world, and zeroing a tape shrinks it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

__all__ = ["STREAMS", "Stream", "Tape"]

STREAMS = ("boots", "clocks", "disk", "faults", "network")
"""How soon programs begin; offsets and rates of clocks; sync times, lost writes; how nodes die; latencies, losses, resets."""


class Stream:
    """One kind of choices.

    Attributes:
        drawn: How many choices were made.
        record: The choices made, when they are kept.
    """

    __slots__ = ("_given", "_random", "drawn", "record")

    def __init__(self, seed: str, given: Sequence[int] | None = None, *, keep: bool = False) -> None:
        self._random = random.Random(seed).random
        self._given = given
        self.drawn = 0
        self.record: list[int] | None = [] if keep else None

    def below(self, bound: int) -> int:
        """A choice from 0 to `bound` - 1. Given choices are clipped to the bound; after their end all are 0."""
        if self._given is None:
            choice = int(self._random() * bound)
        else:
            choice = min(self._given[self.drawn], bound - 1) if self.drawn < len(self._given) else 0
        self.drawn += 1
        if self.record is not None:
            self.record.append(choice)
        return choice


class Tape:
    """All streams of one simulation.

    Args:
        seed: Every stream is drawn from it and the stream's name.
        given: Recorded choices to make again, by stream; streams not named are all zeros then.
        keep: Keep the choices made, for `recorded`.
    """

    __slots__ = ("_streams", "boots", "clocks", "disk", "faults", "network")

    def __init__(self, seed: int, given: Mapping[str, Sequence[int]] | None = None, *, keep: bool = False) -> None:
        def stream(name: str) -> Stream:
            return Stream(f"{seed}/{name}", None if given is None else given.get(name, ()), keep=keep)

        self.boots = stream("boots")
        self.clocks = stream("clocks")
        self.disk = stream("disk")
        self.faults = stream("faults")
        self.network = stream("network")
        self._streams = {name: getattr(self, name) for name in STREAMS}

    @property
    def recorded(self) -> dict[str, tuple[int, ...]]:
        """The choices made, by stream; empty where they are not kept."""
        return {name: tuple(stream.record or ()) for name, stream in self._streams.items()}
