"""The invariant `cart`: what a look may show, by hand and against all ways in which a small cart can have been kept."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict


class Story:
    """Operations one after the other, each from 10 n to 10 n + 5 unless said otherwise."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def op(
        self, f: str, node: str, *, key: Any = None, value: Any = None, result: Any = None, how: str = "ok", long: int = 5
    ) -> int:
        """One more; returns its id."""
        number = len(self.operations) + 1
        start, outcome = 10 * number, Outcome(how)
        self.operations.append(
            Operation(
                id=number,
                process=number,
                f=f,
                key=key,
                value=value,
                result=result,
                outcome=outcome,
                intended_ns=start,
                invoke_ns=start,
                return_ns=INFINITY_NS if outcome is Outcome.INFO else start + long,
                ended_ns=start + long,
                node=node,
            )
        )
        return number

    def add(self, node: str, quantity: int = 1, **given: Any) -> int:
        return self.op("add", node, key="pen", value=quantity, **given)

    def remove(self, node: str, took: list[int] | None = None, **given: Any) -> int:
        return self.op("remove", node, key="pen", result=took, **given)

    def shows(self, quantity: int, node: str = "n1", f: str = "state") -> Verdict:
        """The verdict when a node shows so many in the end."""
        result = {"pen": quantity} if quantity else {}
        self.op(f, node, result=result)
        verdict = INVARIANTS["cart"].check(History.of(self.operations), {})
        self.operations.pop()
        return verdict

    def allowed(self, node: str = "n1", f: str = "state") -> list[int]:
        """What a node may show."""
        return [quantity for quantity in range(12) if self.shows(quantity, node, f).status is Status.HELD]


def test_what_was_acknowledged_must_be_there_what_is_unknown_may_and_what_failed_must_not() -> None:
    story = Story()
    story.add("n1", 2)
    story.add("n2", 3, how="info")
    story.add("n3", 5, how="fail")

    assert story.allowed() == [2, 3, 4, 5]


def test_a_remove_takes_exactly_the_adds_that_it_names() -> None:
    story = Story()
    first = story.add("n1", 2)
    story.add("n2", 3)
    story.remove("n1", [first])

    assert story.allowed() == [3]


def test_a_remove_of_unknown_outcome_may_have_taken_anything() -> None:
    story = Story()
    story.add("n1", 2)
    story.remove("n2", how="info")
    story.add("n1", 3)

    assert story.allowed() == [0, 1, 2, 3, 4, 5]


def test_a_remove_without_names_takes_what_its_node_had_and_may_take_what_began_before_its_end() -> None:
    story = Story()
    story.add("n1", 1)
    story.add("n2", 2)
    story.remove("n1", None, long=15)
    story.add("n2", 4)  # begins before the remove returns
    story.add("n2", 5)

    assert story.allowed() == [5, 6, 7, 8, 9, 10, 11]
    assert story.shows(12).status is Status.VIOLATED


def test_a_read_must_show_what_its_own_node_acknowledged_and_may_show_more() -> None:
    story = Story()
    story.add("n1", 2)
    story.add("n2", 1)
    gone = story.add("n1", 4)
    story.remove("n2", [gone])

    assert story.allowed("n1", "read") == [2, 3, 4, 5, 6, 7]
    assert story.allowed("n2", "read") == [1, 2, 3]
    assert story.allowed("n1", "state") == [3]


@pytest.mark.parametrize("took", [[7], [2], [4]])
def test_a_remove_that_takes_what_nobody_had_added_yet_is_violated(took: list[int]) -> None:
    story = Story()
    story.add("n1")
    story.op("add", "n1", key="cup", value=1)
    story.remove("n1", took)
    story.add("n1")
    verdict = story.shows(2)

    assert verdict.status is Status.VIOLATED
    assert f"a remove of 'pen' at n1 took {took[0]}, which was no add of it that had begun" in verdict.summary


def test_only_the_last_answer_in_the_end_must_be_complete() -> None:
    story = Story()
    story.add("n2", 1)
    story.op("state", "n1", result={})

    assert story.allowed() == [1]


def test_the_message_says_what_where_and_shows_the_operations() -> None:
    story = Story()
    story.add("n2", 3)
    verdict = story.shows(1)

    assert verdict.summary == "cart violated: 'pen' at n1 is 1, but 3 were acknowledged and not removed"
    assert [line.split("  ")[-1] for line in verdict.details] == ["add 'pen' 3 -> ok", "state -> {'pen': 1}"]
    assert story.shows(4).summary == "cart violated: 'pen' at n1 is 4, but at most 3 were added and not removed"


def test_no_answer_is_unknown_and_foreign_operations_are_ignored() -> None:
    story = Story()
    story.op("put", "n1", key="pen", value=7)
    assert INVARIANTS["cart"].check(History.of(story.operations), {}).status is Status.UNKNOWN

    assert story.allowed() == [0]


def _kept(story: Story) -> Iterator[int]:
    """What a replica can hold in the end: every way in which operations of unknown outcome can have gone."""
    adds = [op for op in story.operations if op.f == "add" and op.outcome is not Outcome.FAIL]
    removes = [op for op in story.operations if op.f == "remove" and op.outcome is not Outcome.FAIL]
    named = {number for op in removes if op.outcome is Outcome.OK for number in op.result}
    unknown = [op for op in removes if op.outcome is Outcome.INFO]
    maybe = [op for op in adds if op.id not in named and (op.outcome is Outcome.INFO or unknown)]
    surely = sum(op.value for op in adds if op.id not in named and op not in maybe)
    for chosen in itertools.product((0, 1), repeat=len(maybe)):
        yield surely + sum(op.value * taken for op, taken in zip(maybe, chosen, strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_it_allows_all_that_a_correct_cart_can_show_and_nothing_outside_its_range(seed: int) -> None:
    rng, story = random.Random(seed), Story()
    for _ in range(5):
        node, how = rng.choice(["n1", "n2"]), rng.choices(["ok", "info", "fail"], [6, 2, 1])[0]
        if rng.random() < 0.6:
            story.add(node, rng.randint(1, 2), how=how)
        else:
            known = _adds(story.operations)
            story.remove(node, sorted(rng.sample(known, rng.randint(0, len(known)))) if how == "ok" else None, how=how)
    possible = set(_kept(story))

    assert story.allowed() == list(range(min(possible), max(possible) + 1))


def _adds(operations: Sequence[Operation]) -> list[int]:
    return [op.id for op in operations if op.f == "add" and op.outcome is not Outcome.FAIL]
