"""Faults are a set: what links do depends on what is in the set, not on how it came about."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import (
    PASS,
    Corrupt,
    Cut,
    DirectionState,
    DropReplies,
    Duplicate,
    Fault,
    FrameKind,
    FrameRule,
    FramesAll,
    LinkMode,
    Lose,
    Partition,
    Pause,
    Refuse,
    Reorder,
    Slow,
    SlowAll,
)
from pytest_coordchaos.faults.rates import combined, rate_of
from pytest_coordchaos.faults.resolve import describe, difference, named, resolve
from pytest_coordchaos.system.model import CLIENTS

NODES = ("n1", "n2", "n3", "n4")
LINKS = [LinkId(a, b, "peer") for a, b in permutations(NODES, 2)] + [LinkId(CLIENTS, n, "client") for n in NODES]
DROP, HOLD, REFUSE = (DirectionState(mode) for mode in (LinkMode.DROP, LinkMode.HOLD, LinkMode.REFUSE))

name = st.sampled_from((*NODES, CLIENTS))
pair = st.tuples(name, name).filter(lambda two: two[0] != two[1])
delay = st.floats(0.001, 500.0)
rate = st.floats(0.0, 1.0)
classes = st.frozensets(st.sampled_from(("vote", "append")))
groups = st.lists(st.frozensets(name, min_size=1), min_size=1, max_size=4).map(tuple)
fault: st.SearchStrategy[Fault] = st.one_of(
    st.builds(lambda two, hold: Cut(*two, hold), pair, st.booleans()),
    pair.map(lambda two: Refuse(*two)),
    st.builds(lambda two, ms: Slow(two[0], two[1], ms), pair, delay),
    st.builds(SlowAll, st.frozensets(name), delay),
    st.builds(Partition, groups, st.booleans()),
    name.map(Pause),
    st.builds(
        lambda kind, two, *args: kind(*two, *args), st.sampled_from((Lose, Duplicate, Reorder, Corrupt)), pair, rate, classes
    ),
    st.builds(FramesAll, st.frozensets(name), st.sampled_from(FrameKind), rate),
    pair.map(lambda two: DropReplies(*two)),
)
faults = st.lists(fault, max_size=6)


def link(source: str, target: str) -> LinkId:
    """The link between two nodes."""
    return LinkId(source, target, "client" if source == CLIENTS else "peer")


def changed(*active: Fault) -> dict[LinkId, tuple[DirectionState, DirectionState]]:
    """Links that these faults change."""
    return difference({}, resolve(active, LINKS))


def test_a_cut_stops_every_byte_travelling_one_way() -> None:
    assert changed(Cut("n1", "n2")) == {link("n1", "n2"): (DROP, PASS), link("n2", "n1"): (PASS, DROP)}


def test_a_refusal_takes_the_links_it_names_as_a_whole() -> None:
    assert changed(Refuse("n1", "n2")) == {link("n1", "n2"): (REFUSE, REFUSE)}


def test_a_delay_is_one_way_and_follows_the_bytes() -> None:
    late = DirectionState(delay_ms=7.0)
    assert changed(Slow("n1", "n2", 7.0)) == {link("n1", "n2"): (late, PASS), link("n2", "n1"): (PASS, late)}


def test_slow_all_delays_both_ways_between_its_nodes_only() -> None:
    late = DirectionState(delay_ms=50.0)
    assert changed(SlowAll(frozenset(("n1", "n2")), 50.0)) == {link("n1", "n2"): (late, late), link("n2", "n1"): (late, late)}


def test_refuse_is_stronger_than_drop_and_delays_add() -> None:
    state = resolve([Cut("n1", "n2"), Slow("n1", "n2", 1.5), Slow("n1", "n2", 2.5), Refuse("n1", "n2")], LINKS)[link("n1", "n2")]
    assert state == (DirectionState(LinkMode.REFUSE, 4.0), REFUSE)


def test_drop_is_stronger_than_hold_and_hold_than_what_happens_to_frames_and_replies() -> None:
    weak = [Lose("n1", "n2", 0.5), DropReplies("n2", "n1"), Slow("n1", "n2", 3.0)]
    held = [*weak, Cut("n1", "n2", hold=True)]
    assert resolve(held, LINKS)[link("n1", "n2")][0] == DirectionState(LinkMode.HOLD, 3.0)
    assert resolve(held, LINKS)[link("n2", "n1")][1] == DirectionState(LinkMode.HOLD, 3.0)
    assert resolve([*held, Cut("n1", "n2")], LINKS)[link("n1", "n2")][0] == DirectionState(LinkMode.DROP, 3.0)
    assert resolve(weak, LINKS)[link("n2", "n1")][1] == DirectionState(
        delay_ms=3.0, frames=(FrameRule(FrameKind.LOSE, (), 0.5),), replies_lost=True
    )


def test_a_partition_that_holds_holds_where_another_would_cut() -> None:
    groups = (frozenset(("n1",)), frozenset(("n2", "n3")))
    cut, held = changed(Partition(groups)), changed(Partition(groups, hold=True))
    assert cut.keys() == held.keys()
    assert set(held.values()) == {(HOLD, HOLD)}


def test_replies_are_lost_on_the_link_that_asks_alone() -> None:
    assert changed(DropReplies("n1", "n2")) == {link("n1", "n2"): (PASS, DirectionState(replies_lost=True))}


def test_faults_on_frames_follow_the_frames() -> None:
    rules = DirectionState(frames=(FrameRule(FrameKind.LOSE, ("append", "vote"), 0.2),))
    assert changed(Lose("n1", "n2", 0.2, frozenset(("vote", "append")))) == {
        link("n1", "n2"): (rules, PASS),
        link("n2", "n1"): (PASS, rules),
    }


def test_rates_combine_as_independent_draws_of_each_kind_and_class() -> None:
    (up, _) = resolve(
        [Lose("n1", "n2", 0.5), Lose("n1", "n2", 0.5), Lose("n1", "n2", 0.1, frozenset(("vote",))), Reorder("n1", "n2", 0.3)],
        LINKS,
    )[link("n1", "n2")]
    assert up.frames == (
        FrameRule(FrameKind.LOSE, (), 0.75),
        FrameRule(FrameKind.LOSE, ("vote",), 0.1),
        FrameRule(FrameKind.REORDER, (), 0.3),
    )
    assert rate_of(up.frames, FrameKind.LOSE, "vote") == combined((0.75, 0.1))
    assert rate_of(up.frames, FrameKind.LOSE, "append") == 0.75
    assert rate_of(up.frames, FrameKind.CORRUPT, "vote") == 0.0


def test_one_rate_is_kept_to_the_last_bit() -> None:
    assert combined((0.2,)) == 0.2


def test_links_whose_frames_are_not_independent_are_left_alone() -> None:
    both = [Lose("n1", "n2", 0.5), DropReplies("n1", "n2")]
    states = resolve(both, LINKS, frames=lambda link: False)
    assert difference({}, states) == {link("n1", "n2"): (PASS, DirectionState(replies_lost=True))}


def test_a_partition_leaves_unnamed_nodes_and_clients_alone() -> None:
    touched = {
        name for one in changed(Partition((frozenset(("n1",)), frozenset(("n2", "n3"))))) for name in (one.source, one.target)
    }
    assert touched == {"n1", "n2", "n3"}


def test_clients_are_cut_when_they_are_named() -> None:
    states = changed(Partition((frozenset((CLIENTS, "n1")), frozenset(("n2",)))))
    assert states[link(CLIENTS, "n2")] == (DROP, DROP)
    assert link(CLIENTS, "n1") not in states


def test_a_node_in_two_groups_is_a_bridge() -> None:
    states = changed(Partition((frozenset(("n1", "n3")), frozenset(("n3", "n2")))))
    assert set(states) == {link("n1", "n2"), link("n2", "n1")}


@given(faults, st.randoms(use_true_random=False))
def test_the_order_of_faults_does_not_matter(active: list[Fault], rng: random.Random) -> None:
    other = active[:]
    rng.shuffle(other)
    assert resolve(active, LINKS) == resolve(other, LINKS)


@given(faults, st.randoms(use_true_random=False))
def test_undoing_in_any_order_returns_to_pass(active: list[Fault], rng: random.Random) -> None:
    """By differences only, as the relay applies them."""
    state = resolve(active, LINKS)
    rng.shuffle(active)
    while active:
        active.pop()
        state |= difference(state, resolve(active, LINKS))
    assert set(state.values()) == {(PASS, PASS)}


@given(faults, fault)
def test_applying_and_undoing_a_fault_leaves_the_others_in_force(active: list[Fault], one: Fault) -> None:
    with_it = resolve([*active, one], LINKS)
    after = with_it | difference(with_it, resolve(active, LINKS))
    assert after == resolve(active, LINKS)


@given(st.lists(st.frozensets(name, min_size=1), min_size=1, max_size=4))
def test_a_partition_is_symmetric_and_cuts_exactly_strangers(groups: list[frozenset[str]]) -> None:
    partition = Partition(tuple(groups))
    for one, (upstream, downstream) in resolve([partition], LINKS).items():
        ends = {one.source, one.target}
        strangers = ends <= named(partition) and not any(ends <= group for group in groups)
        assert upstream == downstream == (DROP if strangers else PASS)


@given(faults, faults)
def test_a_difference_names_only_links_that_change(old: list[Fault], new: list[Fault]) -> None:
    before, after = resolve(old, LINKS), resolve(new, LINKS)
    assert difference(before, after) == {one: state for one, state in after.items() if state != before[one]}


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Cut("n1", "n2"), "cut n1 -> n2"),
        (Refuse("n1", "n2"), "refuse n1 -> n2"),
        (Slow("n1", "n2", 50.0), "slow n1 -> n2 by 50 ms"),
        (SlowAll(frozenset(("n10", "n2")), 50.0), "slow all links between n2,n10 by 50 ms"),
        (Pause("n1"), "pause n1"),
        (Partition((frozenset(("n10", "n2")), frozenset(("n3",)))), "partition {n2,n10} | {n3}"),
        (Partition((frozenset(("n2", "n1")), frozenset(("n2", "n3")))), "partition where only n1-n2, n2-n3 talk"),
        (Partition((frozenset(("n1", "n2")), frozenset(("n3", "n4")))), "partition {n1,n2} | {n3,n4}"),
        (Partition((frozenset(("n1", "n2")), frozenset(("n3",))), hold=True), "hold partition {n1,n2} | {n3}"),
        (Cut("n1", "n2", hold=True), "hold n1 -> n2"),
        (Lose("n1", "n2", 0.2), "lose 20 % of frames n1 -> n2"),
        (Corrupt("n1", "n2", 1.0, frozenset(("vote", "append"))), "corrupt 100 % of append, vote frames n1 -> n2"),
        (FramesAll(frozenset(("n10", "n2")), FrameKind.REORDER, 0.005), "reorder 0.5 % of frames between n2,n10"),
        (DropReplies("n1", "n2"), "drop replies of n2 to n1"),
    ],
)
def test_people_can_read_a_fault(one: Fault, words: str) -> None:
    assert describe(one) == words
