"""When nodes were down, as the faults of a run tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pytest_coordchaos.history.model import INFINITY_NS

__all__ = ["FaultSpan", "downtimes"]


class FaultSpan(Protocol):
    """A fault as it was carried out (`run.RunFault` is one)."""

    @property
    def words(self) -> str:
        """What it was: "kill n3"."""
        ...

    @property
    def start_ns(self) -> int:
        """When it was put in force."""
        ...

    @property
    def end_ns(self) -> int | None:
        """When it was undone; None: not in the run."""
        ...


def downtimes(faults: Iterable[FaultSpan]) -> dict[str, list[tuple[int, int]]]:
    """Node -> the times (ns) in which its process did not live: killed, or without power."""
    down: dict[str, list[tuple[int, int]]] = {}
    for fault in faults:
        verb, _, rest = fault.words.partition(" ")
        if verb in ("kill", "power-loss") and rest:
            down.setdefault(rest.split()[0], []).append((fault.start_ns, INFINITY_NS if fault.end_ns is None else fault.end_ns))
    return {node: sorted(spans) for node, spans in down.items()}
