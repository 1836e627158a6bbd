"""Partition shapes do what their names say, for every size of cluster."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults import shapes
from pytest_coordchaos.faults.model import PASS, Partition
from pytest_coordchaos.faults.resolve import resolve

Shape = Callable[[Sequence[str], random.Random], Partition]


def names(count: int) -> list[str]:
    """n1 … n<count>."""
    return [f"n{i}" for i in range(1, count + 1)]


def seen_by(partition: Partition, nodes: list[str]) -> dict[str, frozenset[str]]:
    """Node -> the nodes it can talk to both ways, itself included: read off the links, not off the groups."""
    states = resolve([partition], [LinkId(a, b, "peer") for a in nodes for b in nodes if a != b])
    return {
        node: frozenset({node} | {link.target for link, state in states.items() if link.source == node and state == (PASS, PASS)})
        for node in nodes
    }


@pytest.mark.parametrize("count", range(3, 24))
@pytest.mark.parametrize("seed", range(3))
def test_in_a_majorities_ring_everyone_sees_a_majority_and_no_two_the_same(count: int, seed: int) -> None:
    """Exactly a majority; where an odd number of nodes would each need an odd number of neighbours, one node has one more."""
    nodes = names(count)
    views = seen_by(shapes.majorities_ring(nodes, random.Random(seed)), nodes)
    majority = count // 2 + 1
    impossible = count % 2 == 1 and majority % 2 == 0
    assert Counter(map(len, views.values())) == Counter({majority: count - impossible, majority + 1: int(impossible)})
    assert len(set(views.values())) == count


@pytest.mark.parametrize("count", range(2, 10))
def test_halves_are_halves(count: int) -> None:
    nodes = names(count)
    groups = shapes.halves(nodes, random.Random(1)).groups
    assert sorted(map(len, groups)) == [count // 2, count - count // 2]
    assert frozenset().union(*groups) == frozenset(nodes)


@pytest.mark.parametrize("count", range(3, 10))
def test_a_majority_stays_together_whatever_minority_is_cut_off(count: int) -> None:
    nodes = names(count)
    minority, rest = shapes.majority(nodes, random.Random(1)).groups
    assert len(minority) == (count - 1) // 2
    assert len(rest) > count / 2
    assert minority | rest == frozenset(nodes)


def test_isolated_nodes_are_alone_and_the_rest_together() -> None:
    nodes = names(5)
    views = seen_by(shapes.isolate(nodes, ("n2", "n4")), nodes)
    assert views["n2"] == {"n2"}
    assert views["n4"] == {"n4"}
    assert views["n1"] == {"n1", "n3", "n5"}


def test_split_one_isolates_exactly_one() -> None:
    nodes = names(4)
    assert sorted(map(len, seen_by(shapes.split_one(nodes, random.Random(3)), nodes).values())) == [1, 3, 3, 3]


def test_every_node_is_hit_by_some_seed() -> None:
    nodes = names(5)
    assert {min(shapes.split_one(nodes, random.Random(seed)).groups, key=len) for seed in range(60)} == {
        frozenset((n,)) for n in nodes
    }


@pytest.mark.parametrize("shape", [shapes.halves, shapes.majority, shapes.majorities_ring, shapes.split_one])
def test_a_single_node_cannot_be_partitioned(shape: Shape) -> None:
    with pytest.raises(UsageError, match=r"needs at least [23] nodes; the system has 1"):
        shape(["n1"], random.Random(1))
