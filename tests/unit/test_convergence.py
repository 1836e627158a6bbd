"""The invariants on what nodes say in the end: agreement, when it came, and what is kept for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_coordchaos import UsageError
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

MS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of the run."""

    words: str = "isolate n1"
    start_ns: int = 0
    end_ns: int | None = None


def op(f: str, node: str, at_ms: int, result: Any = None, outcome: Outcome = Outcome.OK) -> Operation:
    """An operation that takes a millisecond."""
    end = (at_ms + 1) * MS
    return Operation(
        id=at_ms + 1,
        process=1,
        f=f,
        result=result,
        outcome=outcome,
        intended_ns=at_ms * MS,
        invoke_ns=at_ms * MS,
        return_ns=INFINITY_NS if outcome is Outcome.INFO else end,
        ended_ns=end,
        node=node,
    )


def converged(*operations: Operation, **options: object) -> Verdict:
    return INVARIANTS["converged"].check(History.of(operations), options)


def bounded(*operations: Operation, **options: object) -> Verdict:
    return INVARIANTS["metadata-bounded"].check(History.of(operations), options)


def test_equal_last_answers_are_held_with_the_time_since_the_load() -> None:
    """Both agree at 131 ms for the first time; the load ended at 11 ms."""
    verdict = converged(
        op("add", "n1", 10),
        op("state", "n1", 100, {"a": 1}),
        op("state", "n2", 110, {}),
        op("state", "n1", 120, {"a": 1}),
        op("state", "n2", 130, {"a": 1}),
    )

    assert verdict.status is Status.HELD
    assert "2 nodes equal at most 0.120 s after the last operation" in verdict.summary


def test_the_time_counts_from_the_last_fault_when_that_ended_later() -> None:
    answers = [op("state", "n1", 100, 1), op("state", "n2", 100, 1)]
    verdict = converged(op("add", "n1", 10), *answers, faults=(Fault(end_ns=80 * MS), Fault(end_ns=50 * MS)))

    assert "0.021 s after the last fault" in verdict.summary


def test_a_limit_on_the_time_is_inclusive() -> None:
    answers = [op("add", "n1", 0), op("state", "n1", 100, 1), op("state", "n2", 100, 1)]

    assert converged(*answers, within_s=0.1).status is Status.HELD
    exceeded = converged(*answers, within_s=0.099)
    assert (exceeded.status, exceeded.summary[:31]) == (Status.VIOLATED, "converged exceeded: 0.100 > 0.0")


def test_different_last_answers_are_violated_and_shown_where_they_differ() -> None:
    verdict = converged(
        op("state", "n1", 1, {"a": 1, "b": 2}), op("state", "n2", 2, {"a": 1}), op("state", "n3", 3, {"a": 1, "b": 2})
    )

    assert verdict.summary == "converged violated: in the end {n1,n3} | {n2} differ"
    assert verdict.details == ("'b': n1 2, n2 None, n3 2",)


def test_true_is_not_one_and_lists_are_compared_in_order() -> None:
    assert converged(op("state", "n1", 1, True), op("state", "n2", 2, 1)).status is Status.VIOLATED
    assert converged(op("state", "n1", 1, [1, 2]), op("state", "n2", 2, [2, 1])).status is Status.VIOLATED
    assert converged(op("state", "n1", 1, {"a": 1, "b": 2}), op("state", "n2", 2, {"b": 2, "a": 1})).status is Status.HELD


def test_silence_is_unknown_never_held() -> None:
    asked = [op("state", "n1", 1, 1), op("state", "n2", 2, outcome=Outcome.FAIL)]

    assert converged().status is Status.UNKNOWN
    assert converged(op("state", "n1", 1, 1)).status is Status.UNKNOWN
    assert converged(*asked, op("state", "n3", 3, 1)).summary == "converged unknown: n2 never answered 'state'"
    assert converged(*asked, op("state", "n3", 3, 2)).status is Status.VIOLATED
    assert converged(*asked, op("state", "n3", 3, 1), faults=(Fault(words="kill n2"),)).status is Status.HELD
    assert converged(op("add", "n2", 0), op("state", "n1", 1, 1), op("state", "n3", 3, 1)).status is Status.UNKNOWN


def test_answers_before_the_window_and_other_operations_do_not_count() -> None:
    old = [op("state", "n1", 1, "old"), op("state", "n2", 2, "older")]
    answers = [op("members", "n1", 30, 1), op("members", "n2", 31, 1)]

    assert converged(*old, window_start_ns=10 * MS).status is Status.UNKNOWN
    assert converged(*old, *answers, f="members", window_start_ns=10 * MS).status is Status.HELD


def test_metadata_may_grow_with_what_is_there() -> None:
    stats = [op("stats", "n1", 1, {"live": 10, "metadata": 26}), op("stats", "n2", 2, {"live": 100, "metadata": 100})]

    held = bounded(*stats)
    assert (held.status, held.measured, held.limit) == (Status.HELD, 26, 26)
    exceeded = bounded(*stats, constant=15)
    assert exceeded.status is Status.VIOLATED
    assert exceeded.summary == "metadata-bounded exceeded: 26 > 25 numbers (n1: 1 for each of 10 that are there, and 15)"
    assert bounded(*stats, per_live=2, constant=6).status is Status.HELD


def test_no_numbers_are_unknown() -> None:
    assert bounded(op("stats", "n1", 1, {"live": 1})).status is Status.UNKNOWN
    assert bounded().status is Status.UNKNOWN


@pytest.mark.parametrize(("name", "option"), [("converged", "within_s"), ("metadata-bounded", "per_live")])
def test_options_that_are_off_are_refused_before_anything_runs(name: str, option: str) -> None:
    validate = INVARIANTS[name].validate
    assert validate is not None

    with pytest.raises(UsageError, match=f"{option}=-1 is not allowed"):
        validate({option: -1})
