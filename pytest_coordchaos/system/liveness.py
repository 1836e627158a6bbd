"""Which nodes must be enough for a system to go on. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_coordchaos.errors import UsageError

__all__ = ["Live"]

_NUMBERS: dict[str, Callable[[int], int]] = {
    "majority": lambda nodes: nodes // 2 + 1,
    "all": lambda nodes: nodes,
    "any": lambda nodes: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a system promises once faults are over: these nodes go on alone, although the others are cut off for ever.

    A simulated seed can end with that question (TigerBeetle's liveness mode, docs/internals/vopr.md): it finds what waits
    for ever for somebody who does not come back, which a heal at the end would hide.

    Args:
        nodes: "majority" (any one of them; drawn), "all" (nobody is cut off), "any" (each node alone; one is drawn), or a
            function (nodes, random source) -> the nodes that are left.
        within_s: Simulated seconds within which an operation must succeed then. None: seeds end without that question,
            unless it is asked (`progress_s`).

    Raises:
        UsageError: What is wrong, and what is allowed.
    """

    nodes: str | Callable[[Sequence[str], random.Random], Iterable[str]] = "majority"
    within_s: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.nodes) and self.nodes not in _NUMBERS:
            raise UsageError(f"Live: nodes={self.nodes!r} is not known; allowed: {', '.join(_NUMBERS)}, or a function")
        if self.within_s is not None and not self.within_s > 0:
            raise UsageError(f"Live: within_s={self.within_s!r} is not allowed; more than 0 seconds, or None")

    def drawn(self, nodes: Sequence[str], rng: random.Random) -> tuple[str, ...]:
        """The nodes that are left, in order.

        Raises:
            UsageError: The function named none, or one that is no node.
        """
        number = None if callable(self.nodes) else _NUMBERS[self.nodes](len(nodes))
        left = set(self.nodes(nodes, rng)) if callable(self.nodes) else set(rng.sample(list(nodes), number or 1))
        if not left or not left <= set(nodes):
            raise UsageError(f"Live: nodes=… left {sorted(left)}; allowed: one or more of {', '.join(nodes)}")
        return tuple(node for node in nodes if node in left)
