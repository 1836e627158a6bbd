"""What each model allows, the conventions at its edges, and the texts of its errors."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_coordchaos.checkers.choosing import model_of
from pytest_coordchaos.checkers.linearizable import Budget, examine
from pytest_coordchaos.checkers.locks_and_transactions import multi_register, mutex
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import cas_register, key_value, register
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status
from tests.unit.histories import op


def held(model: Model, *operations: Operation) -> bool:
    """Whether the operations are linearizable."""
    return examine(operations, model, Budget()).status is Status.HELD


def test_a_read_sees_the_last_write() -> None:
    """The plainest promise: a stale read is caught, a fresh one is not."""
    writes = (op(1, "write", 0, 1, value="a"), op(2, "write", 2, 3, value="b"))
    assert held(register(), *writes, op(3, "read", 4, 5, result="b"))
    assert not held(register(), *writes, op(3, "read", 4, 5, result="a"))


def test_equal_timestamps_are_concurrent() -> None:
    """Intervals are closed: touching is overlapping, one nanosecond apart is not."""
    write = op(1, "write", 0, 10, value="a")
    assert held(register(), write, op(2, "read", 10, 12, result=None))
    assert not held(register(), write, op(2, "read", 11, 12, result=None))


def test_crashed_write_may_take_effect_later_or_never() -> None:
    """Info stays open for ever: seen after any time, but not unseen again."""
    crashed = op(1, "write", 0, None, value="a")
    unseen, seen = op(2, "read", 100, 101, result=None), op(3, "read", 200, 201, result="a")
    assert held(register(), crashed, unseen, seen)
    assert not held(register(), crashed, seen, op(4, "read", 300, 301, result=None))
    assert not held(register(), seen, op(4, "write", 300, None, value="a")), "not before it was invoked"


def test_failed_operation_did_not_happen() -> None:
    """Nobody may see the value of a failed write."""
    failed = op(1, "write", 0, 1, value="a", outcome=Outcome.FAIL)
    assert held(register(), failed, op(2, "read", 2, 3, result=None))
    assert not held(register(), failed, op(2, "read", 2, 3, result="a"))


@pytest.mark.parametrize(("answer", "expected"), [(True, True), (None, True), (False, False)])
def test_completed_cas_matched_unless_its_result_is_false(answer: bool | None, expected: bool) -> None:
    """A result of False is a completed mismatch; anything else is a success."""
    operations = (op(1, "write", 0, 1, value=1), op(2, "cas", 2, 3, value=[1, 2], result=answer))
    assert held(cas_register(), *operations) is expected
    assert held(cas_register(), *operations, op(3, "read", 4, 5, result=2)) is expected


def test_crashed_write_can_explain_a_mismatch_though_nobody_reads_it() -> None:
    """The value was away because of a write whose outcome nobody knows."""
    mismatch = op(2, "cas", 4, 5, value=[1, 2], result=False)
    assert not held(cas_register(), op(1, "write", 0, 1, value=1), mismatch)
    assert held(cas_register(), op(1, "write", 0, 1, value=1), op(3, "write", 0, None, value=9), mismatch)


def test_delete_leaves_nothing_and_append_adds() -> None:
    """key-value: delete is a put of None; append joins text or adds to a list; absent counts as empty."""
    text = (op(1, "append", 0, 1, key="k", value="x"), op(2, "append", 2, 3, key="k", value="y"))
    assert held(key_value(), *text, op(3, "get", 4, 5, key="k", result="xy"))
    assert not held(key_value(), *text, op(3, "get", 4, 5, key="k", result="yx"))
    assert held(key_value(), *text, op(3, "delete", 4, 5, key="k"), op(4, "get", 6, 7, key="k", result=None))
    assert held(key_value(append="list"), *text, op(3, "get", 4, 5, key="k", result=["x", "y"]))


def test_keys_do_not_see_each_other() -> None:
    """A put to one key is not seen at another."""
    put = op(1, "put", 0, 1, key="a", value=1)
    assert held(key_value(), put, op(2, "get", 2, 3, key="b", result=None))
    assert not held(key_value(), put, op(2, "get", 2, 3, key="b", result=1))


def test_nil_read_is_a_value_or_unknown() -> None:
    """None means absent, unless the history's convention says that it means unknown (Knossos)."""
    operations = (op(1, "write", 0, 1, value=3), op(2, "read", 2, 3, result=None))
    assert not held(cas_register(), *operations)
    assert held(cas_register(nil_reads_unknown=True), *operations)


def test_mutex_has_one_holder() -> None:
    """Two acquires without a release between are a violation; a crashed release may have happened."""
    taken = (op(1, "acquire", 0, 1), op(2, "acquire", 2, 3))
    assert not held(mutex(), *taken)
    assert held(mutex(), *taken, op(3, "release", 0, None))
    assert not held(mutex(), op(1, "release", 0, 1))


def test_transactions_are_atomic() -> None:
    """A transaction that sees one half of another is a violation."""
    write = op(1, "txn", 0, 9, value=[["write", "x", 1], ["write", "y", 1]])

    def read(x: int, y: int) -> Operation:
        return op(2, "txn", 1, 8, value=[], result=[["read", "x", x], ["read", "y", y]])

    assert held(multi_register(0), write, read(0, 0))
    assert held(multi_register(0), write, read(1, 1))
    assert not held(multi_register(0), write, read(1, 0))


@pytest.mark.parametrize(("one", "other"), [(True, 1), (False, 0), ([True], [1]), ("1", 1), ({"a": 1}, {"a": True})])
def test_values_that_differ_are_told_apart(one: Any, other: Any) -> None:
    """True is not 1, though Python says so."""
    write = op(1, "write", 0, 1, value=one)
    assert held(register(), write, op(2, "read", 2, 3, result=one))
    assert not held(register(), write, op(2, "read", 2, 3, result=other))


def test_any_step_function_is_a_model() -> None:
    """A user's model: a counter whose add returns the new sum; no other help is needed."""

    def step(state: int, one: Operation) -> tuple[bool, int]:
        total = state + one.value
        return one.outcome is not Outcome.OK or one.result == total, total

    counter = Model(name="counter", initial=0, step=step)
    assert held(counter, op(1, "add", 0, 5, value=2, result=5), op(2, "add", 1, 4, value=3, result=3))
    assert not held(counter, op(1, "add", 0, 5, value=2, result=2), op(2, "add", 1, 4, value=3, result=3))
    assert held(counter, op(1, "add", 0, None, value=2), op(2, "add", 1, 4, value=3, result=5))


@pytest.mark.parametrize(
    ("model", "wrong", "sentence"),
    [
        (
            register(),
            op(7, "cas", 0, 1, value=[1, 2]),
            r"operation 7: f 'cas' is not known to the model register; allowed: get, put",
        ),
        (cas_register(), op(7, "cas", 0, 1, value=3), r"operation 7: the value of a cas is 3; wanted: \[expected, new\]"),
        (mutex(), op(7, "read", 0, 1), r"operation 7: f 'read' is not known to the model mutex; allowed: acquire, release"),
        (multi_register(), op(7, "read", 0, 1), r"operation 7: f 'read' is not known to the model multi-register; allowed: txn"),
        (multi_register(), op(7, "txn", 0, 1, value=[["read", "x"]]), r"operation 7: \['read', 'x'\] is no step of a txn"),
    ],
)
def test_operations_a_model_does_not_know_are_named(model: Model, wrong: Operation, sentence: str) -> None:
    """One sentence: which operation, what was wrong, what is allowed."""
    with pytest.raises(UsageError, match=sentence):
        held(model, wrong)


@pytest.mark.parametrize("name", ["register", "cas-register"])
def test_registers_with_keys_are_registers_of_their_own(name: str) -> None:
    """What is read at one key says nothing of another, whichever model the user named."""
    apart = History.of([op(1, "write", 0, 1, value=1, key="x"), op(2, "read", 2, 3, result=0, key="y")])
    model = model_of(apart, {"model": name, "initial": 0})
    assert model is not None
    assert examine(apart, model, Budget()).status is Status.HELD
    together = History.of([op(1, "write", 0, 1, value=1, key="x"), op(2, "read", 2, 3, result=0, key="x")])
    assert examine(together, model, Budget()).status is Status.VIOLATED
