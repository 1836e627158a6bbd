"""The invariant `linearizable`: verdicts, windows, options, and texts that explain a violation."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_coordchaos.checkers.choosing import infer_model, model_of
from pytest_coordchaos.checkers.linearizability import check_window
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import key_value
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict
from tests.unit.histories import op

MS = 1_000_000


def put(number: int, key: str, begin: int, end: int | None, value: Any, **more: Any) -> Operation:
    """A put, times in ms."""
    return op(number, "put", begin * MS, None if end is None else end * MS, key=key, value=value, **more)


def get(number: int, key: str, begin: int, end: int, result: Any, **more: Any) -> Operation:
    """A get, times in ms."""
    return op(number, "get", begin * MS, end * MS, key=key, result=result, **more)


def check(*operations: Operation, **options: Any) -> Verdict:
    """The invariant's verdict."""
    return INVARIANTS["linearizable"].check(History.of(operations), options)


STALE = (put(1, "x", 0, 1, "a"), put(2, "x", 2, 3, "b", node="n1"), get(3, "x", 4, 5, "a", node="n2"), put(4, "y", 0, 9, "z"))


def test_held_says_what_was_checked() -> None:
    """How much evidence there is: operations, keys, the model."""
    verdict = check(put(1, "x", 0, 1, "a"), get(2, "x", 2, 3, "a"), put(3, "y", 0, 1, "b"))
    assert (verdict.name, verdict.status, verdict.kind) == ("linearizable", Status.HELD, "invariant")
    assert verdict.summary == "linearizable: held (3 operations, 2 keys, model key-value)"


def test_violation_shows_the_operations_that_contradict_each_other() -> None:
    """Two to four operations, with clients, nodes, and times from the first of them; nothing else."""
    verdict = check(*STALE)
    assert verdict.status is Status.VIOLATED
    assert verdict.summary == "linearizable: violated, key 'x': 3 operations contradict each other"
    assert [" ".join(line.split()) for line in verdict.details] == [
        "process 1 0.000 ms to 1.000 ms put 'x' 'a' -> ok",
        "process 2 at n1 2.000 ms to 3.000 ms put 'x' 'b' -> ok",
        "process 3 at n2 4.000 ms to 5.000 ms get 'x' -> 'a'",
    ]


def test_what_wrote_the_values_is_context() -> None:
    """Writes that no order could blame stand beside, marked."""
    verdict = check(
        put(1, "x", 0, 100, "a"), put(2, "x", 0, 100, "b"), get(3, "x", 1, 2, "a"), get(4, "x", 3, 4, "b"), get(5, "x", 5, 6, "a")
    )
    assert "3 operations contradict each other" in verdict.summary
    marked = [line.endswith("(context)") for line in verdict.details]
    assert sorted(marked) == [False, False, False, True, True]


def test_a_value_nobody_wrote_is_said_so() -> None:
    """A garbage read needs no second operation to be wrong."""
    verdict = check(put(1, "x", 0, 1, "a"), get(2, "x", 2, 3, "garbage"))
    assert verdict.summary == "linearizable: violated, key 'x': an operation saw what nobody wrote"
    assert len(verdict.details) == 1


def test_repeated_values_give_a_labelled_minimised_sub_history() -> None:
    """Where values repeat, a small part that is a violation on its own; every write of the value seen is in it."""
    noise = [put(100 + n, "x", 10 * n, 10 * n + 1, "b") for n in range(20)]
    last = (put(1, "x", 300, 301, "a"), put(2, "x", 302, 303, "b"), get(3, "x", 304, 305, "a"))
    verdict = check(*noise, put(90, "x", 250, 251, "a"), *last)
    assert verdict.summary == "linearizable: violated, key 'x': no order explains minimised sub-history (4 of 24 operations)"
    assert [line.split()[1] for line in verdict.details] == ["90", "1", "2", "3"]


def test_crashed_operations_are_shown_as_open() -> None:
    """An open operation that was seen is part of the story, with its error."""
    crashed = put(1, "x", 0, None, "a")
    verdict = check(crashed, put(2, "x", 2, 3, "b"), get(3, "x", 4, 5, "a"), get(4, "x", 6, 7, "b"))
    assert verdict.status is Status.VIOLATED
    assert any("open" in line and "unknown" in line for line in verdict.details)


@pytest.mark.parametrize(
    ("operations", "how"),
    [
        ((), "no operation was recorded"),
        ((put(1, "x", 0, None, "a"),), "1 operations, none of them ended ok"),
        ((put(1, "x", 0, 1, "a", outcome=Outcome.FAIL),), "1 operations, none of them ended ok"),
    ],
)
def test_nothing_observed_is_unknown(operations: tuple[Operation, ...], how: str) -> None:
    """Never held."""
    verdict = check(*operations)
    assert verdict.status is Status.UNKNOWN
    assert verdict.summary == f"linearizable: unknown, nothing was observed ({how})"


@pytest.mark.parametrize(
    ("operations", "name"),
    [
        ((put(1, "x", 0, 1, 1), op(2, "append", 0, 1, key="x", value="a"), op(3, "delete", 0, 1, key="x")), "key-value"),
        ((op(1, "read", 0, 1), op(2, "write", 0, 1, value=1), op(3, "cas", 0, 1, value=[1, 2])), "cas-register"),
        ((op(1, "acquire", 0, 1), op(2, "release", 2, 3)), "mutex"),
        ((op(1, "txn", 0, 1, value=[]),), "multi-register"),
        ((op(1, "checkout", 0, 1, key="x"),), None),
        ((op(1, "append", 0, 1, value="x"),), None),
        ((op(1, "read", 0, 1), op(2, "acquire", 0, 1)), None),
        ((), None),
    ],
)
def test_the_model_is_inferred_from_the_operations(operations: tuple[Operation, ...], name: str | None) -> None:
    """Or not at all: a wrong model would be worse than none."""
    assert infer_model(History.of(operations)) == name


def test_no_model_fits_is_unknown_with_a_sentence() -> None:
    """It says which operations, and what to do."""
    verdict = check(op(1, "checkout", 0, 1, result="ok"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.summary == (
        "linearizable: unknown, no model fits the operations checkout; name one: invariants('linearizable', model=…)"
    )


def test_list_append_is_inferred_from_what_reads_return() -> None:
    """append means a list where gets return lists, else text."""
    appended = (op(1, "append", 0, 1, key="k", value="a"), op(2, "append", 2, 3, key="k", value="b"))
    assert check(*appended, get(3, "k", 4, 5, ["a", "b"])).status is Status.HELD
    assert check(*appended, get(3, "k", 4, 5, "ab")).status is Status.HELD
    assert check(*appended, get(3, "k", 4, 5, ["ab"])).status is Status.VIOLATED


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"model": "registre"},
            r"model='registre' is not known; allowed: register, cas-register, multi-register, mutex, key-value",
        ),
        ({"model": 7}, r"model=7 is not known"),
        ({"model": "mutex", "initial": 1}, r"the model mutex takes no initial"),
        ({"model": "register", "append": "list"}, r"append='list' belongs to the model key-value alone"),
        ({"model": "key-value", "append": "sets"}, r"append='sets' is not known; allowed: text, list"),
        ({"budget_s": 0}, r"budget_s=0 is not allowed; wanted: a number of seconds above 0"),
        ({"budget_s": "long"}, r"budget_s='long' is not allowed"),
        ({"budget_s": float("nan")}, r"budget_s=nan is not allowed"),
        ({"budget_s": True}, r"budget_s=True is not allowed"),
    ],
)
def test_options_that_are_off_are_named(options: dict[str, Any], sentence: str) -> None:
    """One sentence, and the same at validation as at the check."""
    validate = INVARIANTS["linearizable"].validate
    assert validate is not None
    with pytest.raises(UsageError, match=sentence):
        validate(options)
    with pytest.raises(UsageError, match=sentence):
        check(*STALE, **options)


def test_options_choose_the_model_and_the_first_value() -> None:
    """By name with an initial value, or a Model of one's own."""
    first = get(1, "x", 0, 1, 7)
    assert check(first).status is Status.VIOLATED
    assert check(first, initial=7).status is Status.HELD
    forgiving = Model(name="forgiving", initial=None, step=lambda state, one: (True, state))
    assert check(*STALE, model=forgiving).status is Status.HELD
    assert model_of(History(), {"model": forgiving}) is forgiving


def test_budget_used_up_is_unknown_with_its_figures() -> None:
    """Without a clock, seconds are configurations: the verdict is the same on every machine."""
    writes = [op(n, "write", n, 1000 + n, value=n) for n in range(1, 12)]
    reads = [op(50 + n, "read", 2000 + 2 * n, 2001 + 2 * n, result=n) for n in range(1, 3)]
    bare = Model(name="bare", initial=None, step=lambda state, one: (one.f == "write" or one.result == state, one.value or state))
    verdict = check(*writes, *reads, model=bare, budget_s=0.02)
    assert verdict.status is Status.UNKNOWN
    assert "the budget was used up (" in verdict.summary
    assert "raise budget_s" in verdict.summary


# Windows: the cluster lives longer than the test.


def window(start_ms: int, *operations: Operation) -> Verdict:
    """The verdict on what was invoked from `start_ms` on."""
    return check_window(History.of(operations), start_ms * MS, {})


def test_values_of_the_past_may_be_seen() -> None:
    """A value put before the window is no garbage; without the past it would be."""
    past, seen = put(1, "x", 0, 1, "a"), get(2, "x", 10, 11, "a")
    assert window(10, past, seen).status is Status.HELD
    assert check(seen).status is Status.VIOLATED
    assert check(past, seen, window_start_ns=10 * MS).status is Status.HELD
    assert check(seen, context=History.of([past])).status is Status.HELD


def test_open_operations_of_the_past_may_be_seen() -> None:
    """A put that crashed before the window may take effect inside it."""
    assert window(10, put(1, "x", 0, None, "a"), get(2, "x", 10, 11, None), get(3, "x", 12, 13, "a")).status is Status.HELD


def test_a_stale_read_of_the_past_is_this_tests_violation() -> None:
    """The past was in order; the window's read is not."""
    assert window(4, *STALE).status is Status.VIOLATED


def test_a_broken_past_is_not_blamed_on_this_test() -> None:
    """The key was violated before: unknown, and said so; other keys still count."""
    verdict = window(20, *STALE, get(5, "x", 20, 21, "b"), get(6, "y", 20, 21, "z"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.summary == "linearizable: unknown, 'x' was violated before this test began"
    assert verdict.details == ("the rest: linearizable: held (2 operations, 1 key, model key-value)",)
    worse = window(20, *STALE, get(5, "x", 20, 21, "b"), get(6, "y", 20, 21, None))
    assert worse.status is Status.VIOLATED
    assert "key 'y'" in worse.summary


def test_keys_this_test_did_not_touch_do_not_count() -> None:
    """A key broken by an earlier test stays that test's."""
    assert window(20, *STALE, get(6, "y", 20, 21, "z")).status is Status.HELD


def test_what_was_running_when_the_window_began_is_open_in_the_past() -> None:
    """A read that returned inside the window and is wrong is this window's, not the past's."""
    verdict = window(10, put(1, "x", 0, 1, "a"), put(2, "x", 2, 3, "b"), get(3, "x", 4, 11, "a"), get(4, "x", 12, 13, "b"))
    assert verdict.status is Status.VIOLATED


def test_a_window_without_a_completed_operation_is_unknown() -> None:
    """However much happened before."""
    assert window(20, *STALE).summary == "linearizable: unknown, nothing was observed (no operation was recorded)"
    assert window(10, put(1, "x", 0, 1, "a"), put(2, "x", 10, None, "b")).status is Status.UNKNOWN


def test_models_of_one_object_have_windows_too() -> None:
    """Where nothing is partitioned, the one object is broken or not."""
    broken = [op(1, "read", 0, 1, result="garbage"), op(2, "read", 20, 21, result="garbage")]
    verdict = check_window(History.of(broken), 20, {"model": "register"})
    assert verdict.summary == "linearizable: unknown, the object was violated before this test began"


def test_key_value_model_is_what_a_marker_gets() -> None:
    """The registry offers it under the name the reference system uses."""
    assert model_of(History(), {"model": "key-value"}).name == key_value().name  # type: ignore[union-attr]  # a name gives a model
    assert INVARIANTS["linearizable"].options == {"model", "initial", "append", "budget_s"}


def test_times_of_a_window_count_from_its_start_as_those_of_faults_do() -> None:
    """What happened before this test has times below zero."""
    verdict = check(*STALE[:3], window_start_ns=4 * MS)
    begins = [re.search(r"(\S+) ms to", line) for line in verdict.details]
    assert [begin and float(begin[1]) for begin in begins] == [-4.0, -2.0, 0.0]
