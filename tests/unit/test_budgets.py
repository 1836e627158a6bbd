"""Budgets: inclusive limits, three-valued verdicts, and texts that explain themselves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.cost.budgets import LIMITS, apart, check_limits, evaluate
from pytest_coordchaos.cost.figures import figures
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History
from pytest_coordchaos.run import BudgetRequest
from pytest_coordchaos.verdicts import Status, Verdict
from tests.unit.cost_samples import MS, NODES, PEER, history, ledger, message, operation, puts

FIVE = ledger(*[message(ids=(1,), size=100)] * 10, *[message("heartbeat")] * 8, seconds=2.0)
"""Two puts: 5 messages and 500 bytes each; 4 background messages per second."""


def verdict(limits: dict[str, float], past: History, crossed: Ledger, op: str | None = None) -> Verdict:
    """The one verdict on one limit."""
    (one,) = evaluate(BudgetRequest(op=op, limits=limits), past, crossed, [PEER], NODES)
    return one


def slow(latency_ns: int) -> History:
    """One operation that took so long."""
    return history(operation(1, latency_ms=latency_ns / MS))


@pytest.mark.parametrize(
    ("name", "below", "limit", "above"),
    [
        ("messages_per_op", 4.999, 5, 5.001),
        ("bytes_per_op", 499, 500, 501),
        ("background_messages_per_s", 3.5, 4, 4.5),
    ],
)
def test_counts_are_inclusive_one_under_at_and_one_over(name: str, below: float, limit: float, above: float) -> None:
    statuses = [verdict({name: allowed}, puts(2), FIVE).status for allowed in (below, limit, above)]
    assert statuses == [Status.VIOLATED, Status.HELD, Status.HELD]


@pytest.mark.parametrize("messages", [11, 12, 13])
def test_one_message_over_the_limit_is_over(messages: int) -> None:
    found = verdict({"messages_per_op": 12}, puts(1), ledger(*[message(ids=(1,))] * messages), op="put")
    assert found.status is (Status.VIOLATED if messages > 12 else Status.HELD)
    assert (found.measured, found.limit, found.unit, found.kind) == (messages, 12, "messages", "budget")


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_one_byte_over_the_limit_is_over(size: int) -> None:
    found = verdict({"bytes_per_op": 1000}, puts(1), ledger(message(size=size)))
    assert found.status is (Status.VIOLATED if size > 1000 else Status.HELD)


@pytest.mark.parametrize("name", ["p50_ms", "p99_ms"])
@pytest.mark.parametrize("latency_ns", [250 * MS - 1, 250 * MS, 250 * MS + 1])
def test_one_nanosecond_over_the_limit_is_over(name: str, latency_ns: int) -> None:
    found = verdict({name: 250}, slow(latency_ns), ledger())
    assert found.status is (Status.VIOLATED if latency_ns > 250 * MS else Status.HELD)


@pytest.mark.parametrize("beats", [9, 10, 11])
def test_one_background_message_over_the_limit_is_over(beats: int) -> None:
    found = verdict({"background_messages_per_s": 10}, puts(1), ledger(*[message("heartbeat")] * beats, seconds=1.0))
    assert found.status is (Status.VIOLATED if beats > 10 else Status.HELD)


def test_the_text_of_an_exceeded_count_names_the_largest_contributors() -> None:
    crossed = ledger(
        *[message("append", ids=(1,))] * 5,
        *[message("append", ids=(1,), way=("n1", "n3"))] * 4,
        *[message("append-ack", ids=(1,), reply=True)] * 3,
        message("vote", ids=(1,), way=("n3", "n2")),
        message("vote-ack", ids=(1,), way=("n3", "n2"), reply=True),
    )
    found = verdict({"messages_per_op": 12}, puts(1), crossed, op="put")
    assert found.name == "messages_per_op[put]"
    assert found.summary == "messages_per_op exceeded: 14 > 12 messages (put, node-to-node)"
    assert found.details == (
        "Largest: n1->n2 append 5/op, n1->n3 append 4/op, n2->n1 append-ack 3/op, …and 2 more",
        "attributed to an operation: 100% of 14 foreground messages",
    )


@pytest.mark.parametrize(
    ("limits", "op", "summary"),
    [
        ({"messages_per_op": 12}, None, "messages_per_op held: 5 <= 12 messages (all operations, node-to-node)"),
        ({"bytes_per_op": 499.5}, "put", "bytes_per_op exceeded: 500 > 499.5 bytes (put, node-to-node)"),
        ({"background_messages_per_s": 4}, "put", "background_messages_per_s held: 4 <= 4 messages/s (node-to-node)"),
        ({"p99_ms": 0.5}, None, "p99_ms exceeded: 1 > 0.5 ms (all operations)"),
        ({"p99_ms": 2}, "put", "p99_ms held: 1 <= 2 ms (put)"),
        ({"p99_ms": 2}, "get", "p99_ms unknown: no 'get' operation was recorded (limit 2 ms; get)"),
    ],
)
def test_texts_have_one_grammar(limits: dict[str, float], op: str | None, summary: str) -> None:
    assert verdict(limits, puts(2), FIVE, op).summary == summary


def test_an_unanswered_operation_shows_in_the_text() -> None:
    past = history(operation(1), operation(2, "put", "info", 1000.0))
    assert verdict({"p99_ms": 250}, past, ledger()).summary == "p99_ms exceeded: at least 1000 > 250 ms (all operations)"
    unknown = verdict({"p99_ms": 2000}, past, ledger())
    assert unknown.status is Status.UNKNOWN
    assert unknown.summary == (
        "p99_ms unknown: at least 1000 ms; 1 of 2 operations were never answered (limit 2000 ms; all operations)"
    )
    assert unknown.details[0] == "Slowest: put x at n1 1000 ms (info), put x at n1 1 ms (ok)"


@pytest.mark.parametrize(("late_ms", "said"), [(19.0, ()), (20.0, ()), (21.0, ("79",)), (90.0, ("10",))])
def test_a_percentile_tells_the_wait_for_a_free_client_from_the_system(late_ms: float, said: tuple[str, ...]) -> None:
    """More than a fifth is worth a sentence: who reads the number would look for it in the system."""
    found = verdict({"p50_ms": 50}, history(operation(1, latency_ms=100, late_ms=late_ms)), ledger())
    assert found.summary == "p50_ms exceeded: 100 > 50 ms (all operations)"
    advice = "ms; before that no client was free (more clients, or a lower rate_per_s)"
    assert found.details[1:] == tuple(f"From when they were really sent: {number} {advice}" for number in said)


def test_quick_refusals_are_no_wait_for_a_client() -> None:
    """They count neither in the percentile (rule latency-fails) nor in what of it was waiting."""
    refused = [operation(number, "put", "fail", 1.0) for number in range(2, 9)]
    found = verdict({"p50_ms": 50}, history(operation(1, latency_ms=100), *refused), ledger())
    assert found.summary == "p50_ms exceeded: 100 > 50 ms (all operations)"
    assert len(found.details) == 1


def test_one_request_judges_each_of_its_limits_in_order() -> None:
    found = evaluate(BudgetRequest(limits={"p99_ms": 1, "messages_per_op": 1}), puts(2), FIVE, [PEER], NODES)
    assert [(one.name, one.status) for one in found] == [("p99_ms", Status.HELD), ("messages_per_op", Status.VIOLATED)]


def test_a_limit_of_nothing_holds_when_only_background_was_seen() -> None:
    past = history(operation(1, "get"), operation(2, "put"))
    assert verdict({"messages_per_op": 0}, past, ledger(message("heartbeat")), op="get").status is Status.HELD


@pytest.mark.parametrize("limits", [{"p95_ms": 1.0}, {"p99_ms": math.nan}, {"p99_ms": -1.0}, {"p99_ms": True}, {"p99_ms": "9"}])
def test_a_wrong_limit_is_refused_with_what_is_allowed(limits: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^coordination_budget\(\w+=.*allowed: "):
        check_limits(limits)


def test_every_limit_documents_its_unit() -> None:
    assert all(limit.unit and limit.doc for limit in LIMITS.values())


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_shown_number_lies_on_the_same_side_of_the_limit(measured: float, allowed: float) -> None:
    shown = float(apart(measured, allowed))
    assert (shown > allowed, shown < allowed) == (measured > allowed, measured < allowed)


def test_figures_are_counted_as_budgets_are() -> None:
    past = history(operation(1), operation(2, outcome="fail"), operation(3, outcome="info", latency_ms=9.0), operation(4))
    shown = figures(past, FIVE, [PEER], NODES)
    assert (shown.operations, shown.ok, shown.fail, shown.info) == (4, 2, 1, 1)
    assert (shown.messages_per_op, shown.bytes_per_op, shown.background_messages_per_s) == (2.5, 250, 4)
    assert (shown.p50_ms, shown.p99_ms) == (1, 9)


def test_figures_of_nothing_are_unknown_not_nought() -> None:
    shown = figures(History(), ledger(), [PEER], NODES)
    numbers = (shown.messages_per_op, shown.bytes_per_op, shown.p50_ms, shown.p99_ms, shown.background_messages_per_s)
    assert numbers == (None,) * 5
    assert (shown.framed_share, shown.attributed_share) == (None, None)
