"""Who votes, and what a majority of them is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["Voters"]


@dataclass(frozen=True, slots=True)
class Voters:
    """The servers whose majority elects and commits.

    Args:
        names: Each once.
    """

    names: tuple[str, ...]

    def are_majority(self, servers: Collection[str]) -> bool:
        """Whether more than half of the voters are among these."""
        return sum(name in servers for name in self.names) > len(self.names) // 2

    def held(self, by: Mapping[str, int]) -> int:
        """The highest index that a majority holds, when each server holds all up to its own."""
        indexes = sorted((by.get(name, 0) for name in self.names), reverse=True)
        return indexes[len(indexes) // 2]
