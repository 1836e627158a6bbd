"""What markers may say, how several add up, and the sentence each mistake gets."""

from __future__ import annotations

import math

import pytest

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.markers import request_from
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from pytest_coordchaos.settings import Settings
from pytest_coordchaos.verdicts import Status, Verdict

coordchaos, invariants, budget = (getattr(pytest.mark, name) for name in ("coordchaos", "invariants", "coordination_budget"))

MINE = Invariant(
    name="mine",
    check=lambda history, options: Verdict(name="mine", status=Status.HELD, summary="mine: held"),
    options=frozenset({"depth"}),
    doc="for these tests",
)


def request(*closest_first: pytest.MarkDecorator) -> TestRequest:
    marks = [decorator.mark for decorator in closest_first]
    settings = Settings(seed=7, root="/proj", started_in="/proj", command=("pytest",))
    place = {"test": "test_a.py::test_x", "path": "/proj/test_a.py"}
    return request_from(marks, **place, settings=settings, extra_invariants={"mine": MINE})


def test_no_markers_ask_for_nothing() -> None:
    seed = Settings(seed=7, root="/proj").seed_of("test_a.py::test_x", "/proj/test_a.py")

    assert request(pytest.mark.skip) == TestRequest(test="test_a.py::test_x", seed=seed, reproduce="pytest test_a.py::test_x")


def test_every_argument_arrives() -> None:
    made = request(
        coordchaos(
            nodes=5,
            faults=["partition:halves", "pause:leader"],
            seconds=2.5,
            seed=11,
            runtime="process",
            proxy="toxiproxy",
            allow_unknown=True,
        )
    )

    assert (made.nodes, made.faults, made.seconds) == (5, ("partition:halves", "pause:leader"), 2.5)
    assert (made.seed, made.runtime, made.proxy, made.allow_unknown) == (11, "process", "toxiproxy", True)


def test_of_coordchaos_the_closest_wins_argument_by_argument() -> None:
    made = request(
        coordchaos(nodes=3), coordchaos(nodes=5, seconds=9, faults=["slow"]), coordchaos(faults=["kill:one"], allow_unknown=True)
    )

    assert (made.nodes, made.seconds, made.faults, made.allow_unknown) == (3, 9, ("slow",), True)


def test_an_empty_list_of_faults_overrides_and_none_does_not() -> None:
    """One test of a module can do without the module's faults."""
    assert request(coordchaos(faults=[]), coordchaos(faults=["slow"])).faults == ()
    assert request(coordchaos(faults=None), coordchaos(faults=["slow"])).faults == ("slow",)


def test_invariants_add_up_in_reading_order() -> None:
    made = request(invariants("mine", depth=2), invariants("linearizable", model="register"))

    assert made.invariants == (
        InvariantRequest(name="linearizable", options={"model": "register"}),
        InvariantRequest(name="mine", options={"depth": 2}),
    )


def test_an_invariant_named_twice_takes_the_closest_options() -> None:
    made = request(invariants("linearizable", model="mutex"), invariants("linearizable", model="register"))

    assert made.invariants == (InvariantRequest(name="linearizable", options={"model": "mutex"}),)


def test_names_of_one_marker_share_its_options_and_each_takes_its_own() -> None:
    made = request(invariants("linearizable", "mine", model="register", depth=2))

    assert made.invariants == (
        InvariantRequest(name="linearizable", options={"model": "register"}),
        InvariantRequest(name="mine", options={"depth": 2}),
    )


def test_budgets_add_up_and_the_closest_replaces_the_same_limit() -> None:
    made = request(budget(op="put", p99_ms=5), budget(messages_per_op=20), budget(messages_per_op=12, bytes_per_op=100))

    assert made.budgets == (
        BudgetRequest(op=None, limits={"messages_per_op": 20.0, "bytes_per_op": 100.0}),
        BudgetRequest(op="put", limits={"p99_ms": 5.0}),
    )


def test_a_limit_of_zero_is_a_limit() -> None:
    assert request(budget(messages_per_op=0)).budgets == (BudgetRequest(limits={"messages_per_op": 0.0}),)


WRONG = {
    "coordchaos: positional": (coordchaos(5), "marker coordchaos(5, …): positional arguments are not allowed; give them by name"),
    "coordchaos: unknown": (
        coordchaos(node=5),
        "marker coordchaos(node=) is not allowed; allowed: nodes, seconds, seed, runtime, proxy, allow_unknown, faults "
        "(did you mean nodes?)",
    ),
    "nodes: zero": (coordchaos(nodes=0), "marker coordchaos(nodes=0) is not allowed; allowed: a whole number from 1"),
    "nodes: bool": (coordchaos(nodes=True), "marker coordchaos(nodes=True) is not allowed; allowed: a whole number from 1"),
    "seconds: zero": (
        coordchaos(seconds=0),
        "marker coordchaos(seconds=0) is not allowed; allowed: a number above 0, at most 86400",
    ),
    "seconds: nan": (
        coordchaos(seconds=math.nan),
        "marker coordchaos(seconds=nan) is not allowed; allowed: a number above 0, at most 86400",
    ),
    "seed: negative": (
        coordchaos(seed=-1),
        "marker coordchaos(seed=-1) is not allowed; allowed: a whole number from 0 to 9223372036854775807",
    ),
    "proxy": (coordchaos(proxy="nginx"), "marker coordchaos(proxy='nginx') is not allowed; allowed: relay, toxiproxy"),
    "runtime": (
        coordchaos(runtime="cloud"),
        "marker coordchaos(runtime='cloud') is not allowed; allowed: process, docker, sim, auto",
    ),
    "allow_unknown": (
        coordchaos(allow_unknown="yes"),
        "marker coordchaos(allow_unknown='yes') is not allowed; allowed: True or False",
    ),
    "faults: one text": (
        coordchaos(faults="slow"),
        "marker coordchaos(faults='slow') is not allowed; allowed: a list of fault words, "
        "such as ['partition:halves', 'pause:leader']",
    ),
    "invariants: none": (
        invariants(model="register"),
        "marker invariants(...) names no invariant; allowed: one or more names, such as 'linearizable'",
    ),
    "invariants: option": (
        invariants("mine", dept=2),
        "marker invariants(dept=) is not allowed; allowed: depth (did you mean depth?)",
    ),
    "budget: positional": (
        budget(12),
        "marker coordination_budget(12, …): positional arguments are not allowed; give them by name",
    ),
    "budget: unknown": (
        budget(p95_ms=5),
        "marker coordination_budget(p95_ms=) is not allowed; allowed: op, messages_per_op, bytes_per_op, p50_ms, p99_ms, "
        "background_messages_per_s, background_bytes_per_s (did you mean p99_ms?)",
    ),
    "budget: empty": (
        budget(op="put"),
        "marker coordination_budget(...) sets no limit; allowed: one or more of messages_per_op, bytes_per_op, p50_ms, p99_ms, "
        "background_messages_per_s, background_bytes_per_s",
    ),
    "budget: negative": (
        budget(p99_ms=-1),
        "marker coordination_budget(p99_ms=-1) is not allowed; allowed: a finite number of ms from 0",
    ),
    "budget: nan": (
        budget(messages_per_op=math.nan),
        "marker coordination_budget(messages_per_op=nan) is not allowed; allowed: a finite number of messages from 0",
    ),
    "budget: infinite": (
        budget(bytes_per_op=math.inf),
        "marker coordination_budget(bytes_per_op=inf) is not allowed; allowed: a finite number of bytes from 0",
    ),
    "budget: text": (
        budget(p50_ms="10"),
        "marker coordination_budget(p50_ms='10') is not allowed; allowed: a finite number of ms from 0",
    ),
    "budget: op": (
        budget(op="", p50_ms=1),
        "marker coordination_budget(op='') is not allowed; allowed: the name of an operation, such as 'put'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_marker_gets_one_sentence(case: str) -> None:
    """It names the marker and the argument, and says what is allowed."""
    mark, message = WRONG[case]
    with pytest.raises(UsageError) as refused:
        request(mark)

    assert str(refused.value) == message


def test_an_unknown_invariant_is_refused_with_the_known_ones() -> None:
    """Those that plugins add are among them."""
    with pytest.raises(UsageError) as refused:
        request(invariants("linearisable"))

    text = str(refused.value)
    assert text.startswith("marker invariants('linearisable') is not allowed; allowed: ")
    assert "linearizable" in text
    assert "mine" in text
    assert text.endswith("(did you mean linearizable?)")


def test_options_are_checked_by_the_invariant_itself() -> None:
    with pytest.raises(UsageError) as refused:
        request(invariants("linearizable", model="banana"))

    assert str(refused.value).startswith("marker invariants('linearizable', …): ")
    assert "banana" in str(refused.value)


def test_an_unknown_fault_word_is_refused_with_the_grammars_own_sentence() -> None:
    with pytest.raises(UsageError) as refused:
        request(coordchaos(faults=["partition:halves", "explode"]))

    assert str(refused.value).startswith("marker coordchaos(faults=…): ")
    assert "explode" in str(refused.value)
