"""The types of `reference_systems.crdt`: each keeps the laws, means what its name says, and goes through JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from pytest_coordchaos import assert_crdt_laws, reachable_states
from reference_systems.crdt import (
    Context,
    CounterMap,
    Dot,
    GCounter,
    GSet,
    LWWRegister,
    MVRegister,
    ORMap,
    ORSet,
    PNCounter,
    TwoPhaseSet,
)

Delta = Callable[[Any, str, random.Random], Any]
WORDS = ("book", "pen", 7)


def _word(rng: random.Random) -> Any:
    return rng.choice(WORDS)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A type, and the deltas that replicas make of it."""

    kind: type[Any]
    deltas: Sequence[Delta]


def _remove_if_there(state: TwoPhaseSet, replica: str, rng: random.Random) -> TwoPhaseSet:
    word = _word(rng)
    return state.remove(word) if word in state else state


CASES = (
    Case(kind=GCounter, deltas=[lambda s, r, rng: s.increment(r, rng.randint(1, 3))]),
    Case(kind=PNCounter, deltas=[lambda s, r, rng: s.increment(r, 2), lambda s, r, rng: s.decrement(r)]),
    Case(kind=GSet, deltas=[lambda s, r, rng: s.add(_word(rng))]),
    Case(kind=TwoPhaseSet, deltas=[lambda s, r, rng: s.add(_word(rng)), _remove_if_there]),
    Case(kind=ORSet, deltas=[lambda s, r, rng: s.add(r, _word(rng)), lambda s, r, rng: s.remove(_word(rng))]),
    Case(kind=LWWRegister, deltas=[lambda s, r, rng: s.write(r, rng.randint(0, 9), rng.randint(0, 3))]),
    Case(kind=MVRegister, deltas=[lambda s, r, rng: s.write(r, rng.randint(0, 9))]),
    Case(
        kind=ORMap,
        deltas=[
            lambda s, r, rng: s.put(r, _word(rng), rng.randint(0, 9)),
            lambda s, r, rng: s.assign(r, _word(rng), rng.randint(0, 9)),
            lambda s, r, rng: s.remove(_word(rng)),
        ],
    ),
    Case(
        kind=CounterMap,
        deltas=[lambda s, r, rng: s.increment(r, _word(rng), rng.choice([-1, 1, 2])), lambda s, r, rng: s.remove(_word(rng))],
    ),
)


def _whole(delta: Delta) -> Delta:
    """The state after it, of a delta."""
    return lambda state, replica, rng: state.merge(delta(state, replica, rng))


def _update(delta: Delta, state: Any) -> Any:
    return _whole(delta)(state, "new", random.Random(3))


def _states(case: Case, seed: int = 1) -> tuple[Any, ...]:
    return reachable_states(case.kind(), [_whole(delta) for delta in case.deltas], seed=seed)


@pytest.fixture(params=CASES, ids=lambda case: case.kind.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_it_keeps_the_laws(case: Case) -> None:
    updates = [partial(_update, delta) for delta in case.deltas]

    assert_crdt_laws(case.kind, states=_states(case), leq=case.kind.leq, updates=updates)


def test_it_goes_through_plain_json_and_back(case: Case) -> None:
    for state in _states(case):
        assert case.kind.of_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_order_is_that_of_merge_and_nothing_else(case: Case) -> None:
    """`leq` is written down by itself; on states of the healthy type it must say what merging says."""
    states = _states(case)
    for one in states[::3]:
        for two in states[::2]:
            assert one.leq(two) == (one.merge(two) == two)


@pytest.mark.parametrize("seed", range(5))
def test_whoever_has_all_deltas_in_causal_order_has_the_same_state(case: Case, seed: int) -> None:
    """Each replica hears all deltas, those of one replica in order, otherwise in an order of its own, some twice."""
    rng, names = random.Random(seed), ("a", "b", "c")
    states = dict.fromkeys(names, case.kind())
    heard: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(30):
        name = rng.choice(names)
        delta = rng.choice(case.deltas)(states[name], name, rng)
        states[name] = states[name].merge(delta)
        heard[name].append(delta)
        behind, ahead = rng.sample(names, 2)
        states[behind] = _hear(states[behind], heard, behind, ahead)
    for _ in range(2):
        for name in names:
            for other in names:
                states[name] = _hear(states[name], heard, name, other)

    assert states["a"] == states["b"] == states["c"]


def _hear(state: Any, heard: dict[str, list[Any]], name: str, other: str) -> Any:
    """All that the other has made or heard, and it is handed on."""
    for delta in heard[other]:
        state = state.merge(delta)
    heard[name] += heard[other][-60:] if name != other else []
    return state


def test_counters_count_and_a_state_that_comes_twice_counts_once() -> None:
    """Two replicas add 5 and 3; what one of them merges again and again stays 8."""
    five, three = GCounter().increment("a", 5), GCounter().increment("b", 3)
    both = five.merge(three).merge(three).merge(five)
    down = PNCounter().increment("a", 2).merge(PNCounter().decrement("b", 3))

    assert (both.value, down.value) == (8, -1)
    with pytest.raises(ValueError, match="at least 1"):
        GCounter().increment("a", 0)


def test_an_or_set_keeps_what_the_remove_did_not_see_and_a_2p_set_never_takes_back() -> None:
    seen = ORSet().add("a", "book")
    concurrent = seen.merge(seen.add("b", "book"))
    removed = seen.merge(seen.remove("book"))
    once = TwoPhaseSet().add("book")
    gone = once.merge(once.remove("book"))

    assert removed.elements == frozenset()
    assert "book" in removed.merge(concurrent)
    assert "book" in removed.merge(removed.add("a", "book"))
    assert "book" not in gone.merge(gone.add("book"))
    with pytest.raises(ValueError, match="not in the set"):
        gone.remove("book")


def test_removals_leave_nothing_behind() -> None:
    """A thousand adds and removals: nothing but one number for the replica."""
    state = ORSet()
    for number in range(1000):
        state = state.merge(state.add("a", number))
        state = state.merge(state.remove(number))

    assert (state.map.dots, len(state.map.context)) == (0, 1)


def test_registers_keep_the_last_or_all_that_were_written_at_once() -> None:
    base = LWWRegister().write("a", "old", 10)
    slow_clock = base.write("b", "new", 3)  # its clock is behind what it has seen
    one, two = MVRegister().write("a", 1), MVRegister().write("b", 2)
    both = one.merge(two)

    assert base.merge(slow_clock).value == "new"
    assert base.merge(LWWRegister().write("b", "rival", 10)).value == "rival"
    assert both.values == (1, 2)
    assert both.merge(both.write("a", 3)).values == (3,)


def test_two_removes_of_the_same_thing_take_it_away_once() -> None:
    """No hidden negative: what is added afterwards is there."""
    one = CounterMap().increment("a", "book")
    here, there = one.merge(one.remove("book")), one.merge(one.remove("book"))
    later = here.merge(there)
    later = later.merge(later.increment("b", "book"))

    assert later.value("book") == 1


def test_a_context_keeps_what_follows_as_one_number() -> None:
    dots = [Dot("a", number) for number in (3, 1, 2, 5)] + [Dot("b", 2)]
    context = Context.of(dots)

    assert context == Context(vector={"a": 3}, cloud=frozenset([Dot("a", 5), Dot("b", 2)]))
    assert len(context) == 3
    assert all(dot in context for dot in dots)
    assert Dot("a", 4) not in context
    assert Context(vector={"a": 2}).leq(context)
    assert not Context(vector={"a": 5}).leq(context)
    assert Context.of([Dot("b", 1)]).merge(context).vector == {"a": 3, "b": 2}
