"""Each reduction of the search is at work: without it, the same history costs more configurations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_coordchaos.checkers.frontier import Frontier
from pytest_coordchaos.checkers.linearizable import Budget, examine
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import cas_register, key_value
from pytest_coordchaos.history.model import Operation
from pytest_coordchaos.verdicts import Status
from tests.unit.histories import in_order, long_history, op


def cost(operations: Sequence[Operation], model: Model, limit: int = 30_000) -> int:
    """Configurations of the frontier search, cut off at the limit."""
    frontier = Frontier(operations, model)
    for _ in frontier.run():
        if frontier.configurations >= limit:
            return limit
    assert frontier.failed_at is None
    return frontier.configurations


def repeated_values(crashed: int, seed: int = 3) -> list[Operation]:
    """Rounds of six concurrent operations on few values, and operations that crashed at the beginning."""
    rng = random.Random(seed)
    done = [op(number, "write", number, None, value=rng.randrange(3)) for number in range(1, crashed + 1)]
    begin, number, state = crashed + 10, crashed, None
    for _ in range(40):
        asked: list[Any] = [rng.choice(["read", "write", "write"]) for _ in range(6)]
        for f in asked:
            number += 1
            value = rng.randrange(3) if f == "write" else None
            state = value if f == "write" else state
            done.append(op(number, f, begin + rng.randint(0, 9), begin + 10 + rng.randint(0, 9), value=value, result=state))
        begin += 30
    return in_order(done)


@pytest.mark.parametrize(
    ("weaker", "operations"),
    [
        ({"observes_only": None}, repeated_values(0)),
        ({"signature": None}, repeated_values(6)),
        ({"horizon": None}, long_history(300, 8, 1, crashed=6, deletes=0.1)),
        ({"overwrites": None}, long_history(300, 12, 1, deletes=0.1)),
    ],
    ids=["eager reads", "alike operations counted", "values nobody looks at", "blind writes"],
)
def test_without_a_reduction_the_search_costs_more(weaker: dict[str, Any], operations: list[Operation]) -> None:
    """A deterministic count, not a time."""
    model = key_value()
    assert cost(operations, model) * 1.5 < cost(operations, replace(model, **weaker))


def test_operations_on_other_keys_cost_nothing() -> None:
    """Partition by key: ten keys with eight clients are no product of ten searches."""
    operations = long_history(400, 8, 10, deletes=0.1)
    apart = examine(operations, key_value(), Budget(configurations=20_000))
    assert apart.status is Status.HELD
    assert apart.objects == 10

    def step(state: Any, one: Operation) -> tuple[bool, Any]:
        values = dict(state)
        legal, values[one.key] = key_value().step(values.get(one.key), one)
        return legal, frozenset(values.items())

    together = Model(name="all keys", initial=frozenset(), step=step)
    assert examine(operations, together, Budget(configurations=20_000)).status is Status.UNKNOWN


@pytest.mark.parametrize(("deletes", "mismatches"), [(0.0, False), (0.05, False), (0.0, True)])
def test_crashed_operations_nobody_saw_cost_next_to_nothing(deletes: float, mismatches: bool) -> None:
    """3,000 operations of ten clients on one key: two hundred crashed ones hardly change the cost."""
    calm = examine(long_history(3000, 10, 1, deletes=deletes, mismatches=mismatches), key_value(), Budget())
    rough = long_history(3000, 10, 1, crashed=200, deletes=deletes, mismatches=mismatches)
    finding = examine(rough, key_value(), Budget())
    assert (calm.status, finding.status) == (Status.HELD, Status.HELD)
    assert finding.configurations <= 3 * calm.configurations + 1000


def test_cost_grows_with_the_length_and_not_with_its_square() -> None:
    """Twice the operations cost about twice the configurations, with crashed ones in proportion."""
    short, twice = (
        examine(long_history(n, 10, 1, crashed=n // 50, deletes=0.05), key_value(), Budget()).configurations for n in (2000, 4000)
    )
    assert 0 < twice < 3 * short


def test_unique_values_need_no_search_at_all() -> None:
    """Blocks decide a run of get, put and cas with unique values, however many crashed."""
    operations = long_history(3000, 10, 1, crashed=300, mismatches=True)
    assert examine(operations, cas_like(), Budget(configurations=1)).configurations == 0


def cas_like() -> Model:
    """The key-value model; named for what the histories above hold."""
    return key_value()


def test_the_search_stops_once_nothing_can_be_illegal() -> None:
    """After the last read, writes are not looked at any more."""
    writes = [op(number, "write", number, 1000 + number, value=number % 3) for number in range(1, 15)]
    read = op(15, "read", 0, 1, result=None)
    assert cost(in_order([read, *writes]), cas_register()) <= 2


def test_an_earlier_returning_twin_takes_effect_first() -> None:
    """Sixteen concurrent equal writes are one order, not 2**16 subsets."""
    writes = [op(number, "write", number, 100 + number, value=7) for number in range(1, 17)]
    reads = [op(20 + number, "read", 200 + 2 * number, 201 + 2 * number, result=7) for number in range(3)]
    assert cost(in_order([*writes, *reads]), cas_register()) < 200


def test_budget_used_up_is_unknown_with_what_was_explained() -> None:
    """Unknown names the certified part, and the same budget gives the same verdict again."""
    operations = repeated_values(8)
    bare = Model(name="bare", initial=None, step=cas_register().step)
    findings = [examine(operations, bare, Budget(configurations=2000)) for _ in range(2)]
    assert findings[0] == findings[1]
    assert findings[0].status is Status.UNKNOWN
    assert 0 < findings[0].certified < len(operations)
    assert findings[0].configurations >= 2000


def test_budget_seconds_are_of_the_clock_that_is_given() -> None:
    """A clock that runs past the budget ends the search; the clock is injected, never read."""
    ticks = iter(range(10**6))
    slow_clock = Budget(seconds=3, now_s=lambda: float(next(ticks)))
    bare = Model(name="bare", initial=None, step=cas_register().step)
    assert examine(repeated_values(8), bare, slow_clock).status is Status.UNKNOWN
    assert next(ticks) <= 6
