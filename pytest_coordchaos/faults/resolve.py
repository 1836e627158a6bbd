"""From a set of faults to the desired state of every link. Pure.

This is the one place that knows what a fault does to a link; relay, Toxiproxy adapter and simulator
only apply `difference`. It is no schedule: time lives in `plan` and `nemesis`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Protocol, TypeVar

from pytest_coordchaos.faults.model import (
    PASS,
    Cut,
    DirectionState,
    Drift,
    DropReplies,
    Fault,
    FrameFault,
    FrameKind,
    FrameRule,
    FramesAll,
    FullDisk,
    Jump,
    LinkMode,
    Partition,
    Pause,
    Refuse,
    Skew,
    Slow,
    SlowAll,
    SlowDisk,
)
from pytest_coordchaos.faults.rates import combined

__all__ = ["Edge", "States", "describe", "difference", "in_order", "named", "resolve"]

States = tuple[DirectionState, DirectionState]
"""(upstream, downstream): bytes travelling source -> target, and the way back."""


class Edge(Protocol):
    """Anything that says who dials whom (a `LinkId`)."""

    @property
    def source(self) -> str:
        """Who dials."""
        ...

    @property
    def target(self) -> str:
        """Who is dialled."""
        ...


E = TypeVar("E", bound=Edge)
Pair = tuple[str, str]
Meets = tuple[FrameKind, tuple[str, ...]]
"""What frames meet, and the classes of those that may."""


@dataclass(slots=True)
class _Effects:
    """What all faults together do to bytes travelling from one name to another."""

    dropped: set[Pair] = field(default_factory=set)
    held: set[Pair] = field(default_factory=set)
    refused: set[Pair] = field(default_factory=set)
    unanswered: set[Pair] = field(default_factory=set)
    delays_ms: dict[Pair, list[float]] = field(default_factory=dict)
    rates: dict[Pair, dict[Meets, list[float]]] = field(default_factory=dict)

    def add(self, fault: Fault) -> None:
        match fault:
            case Cut():
                (self.held if fault.hold else self.dropped).add((fault.source, fault.target))
            case Refuse():
                self.refused.add((fault.source, fault.target))
            case Slow():
                self.delays_ms.setdefault((fault.source, fault.target), []).append(fault.one_way_ms)
            case SlowAll():
                for pair in permutations(sorted(fault.nodes), 2):
                    self.delays_ms.setdefault(pair, []).append(fault.one_way_ms)
            case Partition():
                (self.held if fault.hold else self.dropped).update(_strangers(fault))
            case FrameFault():
                self._strike((fault.source, fault.target), (fault.kind, tuple(sorted(fault.classes))), fault.rate)
            case FramesAll():
                for pair in permutations(sorted(fault.nodes), 2):
                    self._strike(pair, (fault.kind, ()), fault.rate)
            case DropReplies():
                self.unanswered.add((fault.source, fault.target))
            case Pause() | Skew() | Jump() | Drift() | SlowDisk() | FullDisk():
                pass  # a matter of machines, not of links

    def travelling(self, source: str, target: str, *, refused: bool, frames: bool, unanswered: bool = False) -> DirectionState:
        """State of bytes from one name to another. `fsum` rounds once, so the order of faults cannot show."""
        pair = (source, target)
        mode = LinkMode.REFUSE if refused else LinkMode.DROP if pair in self.dropped else LinkMode.HOLD
        if mode is LinkMode.HOLD and pair not in self.held:
            mode = LinkMode.PASS
        delay_ms = math.fsum(self.delays_ms.get(pair, ()))
        if mode is not LinkMode.PASS:
            return DirectionState(mode, delay_ms)
        return DirectionState(mode, delay_ms, self._rules(pair) if frames else (), unanswered)

    def _strike(self, pair: Pair, meets: Meets, rate: float) -> None:
        if rate:
            self.rates.setdefault(pair, {}).setdefault(meets, []).append(rate)

    def _rules(self, pair: Pair) -> tuple[FrameRule, ...]:
        met = self.rates.get(pair, {})
        return tuple(sorted(FrameRule(kind, classes, combined(rates)) for (kind, classes), rates in met.items()))


def resolve(faults: Iterable[Fault], links: Iterable[E], *, frames: Callable[[E], bool] = lambda link: True) -> dict[E, States]:
    """The state of every link while all these faults are in force.

    Delays add up; faults on frames strike independently; refuse > drop > hold > everything else. `Cut(a, b)`
    stops every byte travelling a -> b: upstream on links a -> b, downstream on links b -> a. `Refuse(a, b)`
    and `DropReplies(a, b)` take links a -> b alone. A partition cuts, both ways, nodes it names that share no
    group. Faults of machines change no link. The order of faults does not matter, and taking one copy of a fault away
    undoes exactly that copy.

    Args:
        faults: All that are in force.
        links: The links to speak of.
        frames: Whether a link's frames are independent; faults on frames leave the others alone.

    Returns:
        Every given link -> (upstream, downstream).
    """
    effects = _Effects()
    for fault in faults:
        effects.add(fault)
    states: dict[E, States] = {}
    for link in links:
        pair = (link.source, link.target)
        refused, framed = pair in effects.refused, frames(link)
        upstream = effects.travelling(link.source, link.target, refused=refused, frames=framed)
        unanswered = pair in effects.unanswered
        downstream = effects.travelling(link.target, link.source, refused=refused, frames=framed, unanswered=unanswered)
        states[link] = (upstream, downstream)
    return states


def difference(old: Mapping[E, States], new: Mapping[E, States]) -> dict[E, States]:
    """Only the links of `new` whose state is another than in `old`. A link that `old` does not know was passing."""
    return {link: states for link, states in new.items() if states != old.get(link, (PASS, PASS))}


def named(fault: Fault) -> frozenset[str]:
    """Every name a fault speaks of: nodes, and `CLIENTS` where it says so."""
    match fault:
        case Cut() | Refuse() | Slow() | FrameFault() | DropReplies():
            return frozenset((fault.source, fault.target))
        case Partition():
            return frozenset().union(*fault.groups)
        case SlowAll() | FramesAll():
            return fault.nodes
        case Pause() | Skew() | Jump() | Drift() | SlowDisk() | FullDisk():
            return frozenset((fault.node,))


def describe(fault: Fault) -> str:
    """The fault for people: "partition {n1,n2} | {n3}", "slow n1 -> n2 by 50 ms", "lose 20 % of frames n1 -> n2"."""
    match fault:
        case Cut():
            return f"{'hold' if fault.hold else 'cut'} {fault.source} -> {fault.target}"
        case Refuse():
            return f"refuse {fault.source} -> {fault.target}"
        case Slow():
            return f"slow {fault.source} -> {fault.target} by {fault.one_way_ms:g} ms"
        case SlowAll():
            return f"slow all links between {','.join(in_order(fault.nodes))} by {fault.one_way_ms:g} ms"
        case Partition():
            return _describe_partition(fault)
        case FrameFault():
            which = ", ".join(sorted(fault.classes)) + " " if fault.classes else ""
            return f"{fault.kind} {fault.rate * 100:g} % of {which}frames {fault.source} -> {fault.target}"
        case FramesAll():
            return f"{fault.kind} {fault.rate * 100:g} % of frames between {','.join(in_order(fault.nodes))}"
        case DropReplies():
            return f"drop replies of {fault.target} to {fault.source}"
        case Pause():
            return f"pause {fault.node}"
        case Skew():
            return f"skew clock of {fault.node} by {fault.offset_s:+g} s"
        case Jump():
            return f"jump clock of {fault.node} by {fault.seconds:+g} s"
        case Drift():
            return f"drift clock of {fault.node} at rate {fault.rate:g}"
        case SlowDisk():
            return f"slow disk of {fault.node} by {fault.sync_ms:g} ms a sync"
        case FullDisk():
            return f"full disk of {fault.node}"


def in_order(names: Iterable[str]) -> list[str]:
    """Names as people count them: n2 before n10."""
    return sorted(names, key=_parts)


def _parts(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _strangers(partition: Partition) -> Iterable[Pair]:
    """Ordered pairs of named nodes that share no group."""
    friends = {pair for group in partition.groups for pair in permutations(group, 2)}
    return (pair for pair in permutations(named(partition), 2) if pair not in friends)


def _describe_partition(partition: Partition) -> str:
    groups = [in_order(group) for group in partition.groups]
    members = [name for group in groups for name in group]
    verb = "hold partition" if partition.hold else "partition"
    if len(set(members)) < len(members) and all(len(group) == 2 for group in groups):
        return f"{verb} where only " + ", ".join("-".join(group) for group in groups) + " talk"
    return f"{verb} " + " | ".join("{" + ",".join(group) + "}" for group in groups)
