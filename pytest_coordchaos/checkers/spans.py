"""When nodes were down, stopped, or cut from each other, as the faults of a run tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Protocol

from pytest_coordchaos.history.model import INFINITY_NS

__all__ = ["FaultSpan", "Span", "apart", "downtimes", "longest_quiet_ns", "overlap", "stops"]

Span = tuple[int, int]
"""From when to when, in nanoseconds."""

_GROUP = re.compile(r"\{([^}]*)\}")


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


def downtimes(faults: Iterable[FaultSpan]) -> dict[str, list[Span]]:
    """Node -> when its process did not live: killed, or without power."""
    return _struck(faults, ("kill", "power-loss"))


def stops(faults: Iterable[FaultSpan]) -> dict[str, list[Span]]:
    """Node -> when its process did not run: not alive, or paused."""
    return _struck(faults, ("kill", "power-loss", "pause"))


def apart(faults: Iterable[FaultSpan], one: str, other: str) -> list[Span]:
    """When a partition, or one that holds, kept two nodes from talking to each other directly."""
    return [_span(fault) for fault in faults if any(_parts(clause, one, other) for clause in fault.words.split("; "))]


def overlap(spans: Iterable[Span], within: Span) -> list[Span]:
    """The spans that touch another one."""
    return [span for span in spans if span[0] <= within[1] and within[0] <= span[1]]


def longest_quiet_ns(spans: Iterable[Span], within: Span) -> int:
    """The longest stretch of `within` that no span touches."""
    start_ns, end_ns = within
    edges = [(start_ns, start_ns)]
    for span in sorted(overlap(spans, within)):
        edges.append((span[0], max(span[1], edges[-1][1])))
    return max(max(0, after[0] - before[1]) for before, after in pairwise([*edges, (end_ns, end_ns)]))


def _span(fault: FaultSpan) -> Span:
    return fault.start_ns, INFINITY_NS if fault.end_ns is None else fault.end_ns


def _struck(faults: Iterable[FaultSpan], verbs: tuple[str, ...]) -> dict[str, list[Span]]:
    struck: dict[str, list[Span]] = {}
    for fault in faults:
        for verb, node in _clauses(fault.words):
            if verb in verbs and node:
                struck.setdefault(node, []).append(_span(fault))
    return {node: sorted(spans) for node, spans in struck.items()}


def _clauses(words: str) -> Iterator[tuple[str, str]]:
    """(verb, first word after it) of each thing that one fault did: "kill n1; kill n2" is two."""
    for clause in words.split("; "):
        verb, _, rest = clause.partition(" ")
        yield verb, rest.split()[0] if rest else ""


def _parts(clause: str, one: str, other: str) -> bool:
    verb, _, rest = clause.removeprefix("hold ").partition(" ")
    if verb != "partition":
        return False
    pairs = rest.removeprefix("where only ").removesuffix(" talk").split(", ") if rest.startswith("where only ") else []
    if pairs:
        return f"{one}-{other}" not in pairs and f"{other}-{one}" not in pairs
    groups = [frozenset(group.split(",")) for group in _GROUP.findall(rest)]
    named = frozenset().union(*groups)
    return one in named and other in named and not any(one in group and other in group for group in groups)
