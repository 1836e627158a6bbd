"""What nodes that are asked for their state give away: two leaders, replicas that differ, nodes left behind, no leader."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

S = 1_000_000_000


def state(number: int, node: str, at_s: float = 0.0, **told: Any) -> Operation:
    """An answer to `state`."""
    at_ns = int(at_s * S)
    result = {"name": node, "role": "follower", "term": 1, "leader": "a", "applied": 1, "digests": [], **told}
    return Operation(
        id=number,
        process=number,
        f="state",
        result=result,
        outcome=Outcome.OK,
        intended_ns=at_ns,
        invoke_ns=at_ns,
        return_ns=at_ns,
        ended_ns=at_ns,
        node=node,
    )


def judged(invariant: str, *operations: Operation, **options: Any) -> Verdict:
    return INVARIANTS[invariant].check(History.of(operations), options)


@pytest.mark.parametrize("invariant", ["election-safety", "replicas-agree", "caught-up", "leader-soon"])
def test_nothing_told_is_unknown(invariant: str) -> None:
    assert judged(invariant).status is Status.UNKNOWN


def test_two_who_lead_one_term_are_found_even_when_they_led_one_after_the_other() -> None:
    """A node that says it leads, and whom another takes for the leader, count alike; other terms are others' business."""
    leads = {"role": "leader", "leader": "a"}
    assert judged("election-safety", state(1, "a", **leads), state(2, "b", 1, term=2, leader="b")).status is Status.HELD
    found = judged("election-safety", state(1, "a", **leads), state(2, "c", 1, leader="b"))
    assert found.summary == "election-safety: violated, a and b both led term 1"
    assert found.details == (
        "0.000 s, a: role leader, term 1, leader a, applied 1",
        "1.000 s, c: role follower, term 1, leader b, applied 1",
    )
    assert judged("election-safety", state(1, "a", leader=None)).status is Status.UNKNOWN


def test_replicas_that_applied_something_else_are_found_at_any_later_time() -> None:
    """Digests of one entry are compared, whenever they were told; one node's alone prove nothing."""
    one = state(1, "a", digests=[[1, 11], [2, 22]])
    assert judged("replicas-agree", one, state(2, "b", 5, digests=[[2, 22], [3, 33]])).status is Status.HELD
    assert judged("replicas-agree", one, state(2, "a", 5, digests=[[2, 22]])).status is Status.UNKNOWN
    found = judged("replicas-agree", one, state(2, "b", 5, digests=[[2, 23]]))
    assert found.summary == "replicas-agree: violated, a and b differ in what they applied up to entry 2"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"applied": 2}, "nodes differ in the end, applied: a 1, b 2"),
        ({"term": 2}, "nodes differ in the end, term: a 1, b 2"),
        ({"leader": "b"}, "nodes differ in the end, leader: a a, b b"),
        ({"leader": None}, "nodes differ in the end, leader: a a, b None"),
    ],
)
def test_the_last_answers_must_agree(last: dict[str, Any], said: str) -> None:
    assert judged("caught-up", state(1, "a"), state(2, "b", 1, **last)).summary == f"caught-up: violated, {said}"
    assert judged("caught-up", state(1, "b", **last), state(2, "a", 1), state(3, "b", 2)).status is Status.HELD


def test_a_time_without_a_leader_counts_from_the_first_who_missed_one_to_the_last() -> None:
    """Any answer that names a leader ends it."""
    none = [state(number, "a", number, leader=None) for number in range(1, 5)]
    found = judged("leader-soon", *none, within_s=2)
    assert found.summary == "leader-soon: violated, nobody knew a leader for 3.000 s > 2 s"
    assert judged("leader-soon", *none, state(9, "b", 2.5), within_s=2).status is Status.HELD
    with pytest.raises(UsageError, match="leader-soon: within_s=0 is not allowed"):
        judged("leader-soon", *none, within_s=0)


def test_questions_to_nodes_are_no_business_of_linearizability() -> None:
    """They name no key and no model knows them; what is misspelt beside a key is still named."""
    put = Operation(
        id=1, process=1, f="put", key="x", value=1, outcome=Outcome.OK, intended_ns=0, invoke_ns=0, return_ns=1, ended_ns=1
    )
    assert judged("linearizable", put, state(2, "a", 1), model="key-value").status is Status.HELD
    assert judged("linearizable", put, state(2, "a", 1)).status is Status.HELD
