"""Shapes of partitions: which nodes stay together. Pure; every draw comes from the given source.

The shapes and their names are Jepsen's (jepsen/src/jepsen/nemesis.clj). All are symmetric: a pair of
nodes talks both ways or not at all, because a TCP connection that is cut one way is of no use to
either end. One-way cuts are `faults.model.Cut`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.chance import pick, shuffled
from pytest_coordchaos.faults.model import Partition

__all__ = ["halves", "isolate", "majorities_ring", "majority", "majority_size", "minority", "split_one"]


def majority_size(count: int) -> int:
    """The fewest nodes that are more than half of `count`."""
    return count // 2 + 1


def minority(nodes: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """Random nodes, as many as can be spared while a majority stays.

    Raises:
        UsageError: Fewer than three nodes.
    """
    _need(nodes, 3, "minority")
    chosen = set(shuffled(rng, nodes)[: (len(nodes) - 1) // 2])
    return tuple(node for node in nodes if node in chosen)


def halves(nodes: Sequence[str], rng: random.Random) -> Partition:
    """Two random halves; of an odd number one half is a majority."""
    _need(nodes, 2, "halves")
    order = shuffled(rng, nodes)
    middle = len(order) // 2
    return Partition((frozenset(order[:middle]), frozenset(order[middle:])))


def majority(nodes: Sequence[str], rng: random.Random) -> Partition:
    """A random minority, as large as it can be, together on the wrong side."""
    outside = frozenset(minority(nodes, rng))
    return Partition((outside, frozenset(nodes) - outside))


def isolate(nodes: Sequence[str], alone: Iterable[str]) -> Partition:
    """Each of the nodes `alone` is cut off from every other node; the rest stay together."""
    single = frozenset(alone)
    rest = frozenset(nodes) - single
    groups = tuple(frozenset((node,)) for node in nodes if node in single)
    return Partition((*groups, rest) if rest else groups)


def split_one(nodes: Sequence[str], rng: random.Random) -> Partition:
    """One random node is cut off from all others."""
    _need(nodes, 2, "one")
    return isolate(nodes, (pick(rng, nodes),))


def majorities_ring(nodes: Sequence[str], rng: random.Random) -> Partition:
    """Every node sees a majority, no two see the same one.

    Nodes stand on a random ring and see their nearest neighbours on both sides, and the opposite node
    where a majority is even. Each sees exactly a majority, itself included. Where the number of nodes
    is 3, 7, 11 … an odd number of nodes would each need an odd number of neighbours, which no graph
    has; there one node sees one more. Groups are the pairs that talk: larger overlapping groups would
    connect too much.

    Raises:
        UsageError: Fewer than three nodes.
    """
    _need(nodes, 3, "majorities-ring")
    ring = shuffled(rng, nodes)
    return Partition(tuple(frozenset((ring[a], ring[b])) for a, b in _ring_edges(len(ring))))


def _ring_edges(count: int) -> list[tuple[int, int]]:
    near, odd = divmod(majority_size(count) - 1, 2)
    edges = [(i, (i + step) % count) for step in range(1, near + 1) for i in range(count)]
    if not odd:
        return edges
    half = count // 2
    if count % 2 == 0:
        return edges + [(i, i + half) for i in range(half)]
    # The long chords of an odd ring form one cycle through all nodes: take every second one.
    cycle = [(i * half) % count for i in range(count + 1)]
    return edges + [(cycle[i], cycle[i + 1]) for i in range(0, count, 2)]


def _need(nodes: Sequence[str], least: int, shape: str) -> None:
    if len(nodes) < least:
        raise UsageError(f"Fault shape {shape!r} needs at least {least} nodes; the system has {len(nodes)}")
