"""The invariant "rate-limit" against histories made by hand, and the sliding window of the rate limiter."""

from __future__ import annotations

import pytest

from pytest_coordchaos.checkers.rate_limit import RATE_LIMIT, check_rate_limit
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status
from reference_systems.rate_limiter.limiter import SlidingWindow


def _acquire(number: int, begun_s: float, result: bool | None, *, took_s: float = 0.01, key: str = "k") -> Operation:
    """An acquire under a limit of two; None: nobody knows."""
    begun_ns, ended_ns = int(begun_s * 1e9), int((begun_s + took_s) * 1e9)
    return Operation(
        id=number,
        process=number,
        f="acquire",
        key=key,
        value=2,
        result=result,
        outcome=Outcome.INFO if result is None else Outcome.OK,
        intended_ns=begun_ns,
        invoke_ns=begun_ns,
        return_ns=INFINITY_NS if result is None else ended_ns,
        ended_ns=ended_ns,
    )


def _history(*ops: tuple[float, bool | None]) -> History:
    return History.of(_acquire(number, at_s, result) for number, (at_s, result) in enumerate(ops, start=1))


YES, NO, OPEN = True, False, None


@pytest.mark.parametrize(
    ("ops", "status", "said"),
    [
        ([(0.0, YES), (0.5, YES), (1.2, YES)], Status.HELD, "3 admitted, 0 denied, 1 keys"),
        ([(0.0, YES), (0.5, YES), (0.9, YES)], Status.VIOLATED, "3 were admitted within 1 s, 2 are allowed"),
        ([(0.0, YES), (0.5, YES), (0.995, YES)], Status.HELD, "3 admitted"),  # it may have come after the window
        ([(0.0, YES), (0.5, OPEN), (0.9, YES)], Status.HELD, "2 admitted"),
        ([(0.0, YES), (0.5, YES), (0.9, NO)], Status.HELD, "2 admitted, 1 denied"),
        ([(0.0, YES), (0.9, NO)], Status.VIOLATED, "one was denied when at most 1 of 2 had been admitted in 1 s"),
        ([(0.0, YES), (0.5, OPEN), (0.9, NO)], Status.HELD, "1 admitted, 1 denied"),
        ([(0.0, YES), (0.5, YES), (2.0, NO)], Status.VIOLATED, "at most 0 of 2"),
        ([(0.0, YES), (0.5, YES), (1.03, NO)], Status.HELD, "2 admitted, 1 denied"),  # within the slack
        ([(0.0, OPEN)], Status.UNKNOWN, "nothing was observed"),
        ([], Status.UNKNOWN, "nothing was observed"),
    ],
)
def test_what_is_certain_is_said(ops: list[tuple[float, bool | None]], status: Status, said: str) -> None:
    verdict = check_rate_limit(_history(*ops), {})

    assert verdict.status is status
    assert said in verdict.summary


def test_the_operations_that_contradict_each_other_are_shown() -> None:
    verdict = check_rate_limit(_history((1.0, YES), (1.5, YES), (1.9, YES)), {"window_start_ns": 10**9})

    assert verdict.details[-1] == "0.9000 s to 0.9100 s at an unnamed node: admitted"
    assert len(verdict.details) == 3


def test_keys_are_apart_and_what_was_invoked_earlier_is_context_only() -> None:
    other = History.of([_acquire(1, 0.0, YES), _acquire(2, 0.1, YES), _acquire(3, 0.2, YES, key="other")])
    early = _history((0.0, YES), (0.1, YES), (0.2, YES), (5.0, YES))
    across = _history((0.0, YES), (0.5, YES), (0.9, YES))

    assert check_rate_limit(other, {}).status is Status.HELD
    assert check_rate_limit(early, {"window_start_ns": 4 * 10**9}).status is Status.HELD
    assert check_rate_limit(across, {"window_start_ns": 8 * 10**8}).status is Status.VIOLATED


def test_another_window() -> None:
    ops = _history((0.0, YES), (0.5, YES), (0.9, YES))

    assert check_rate_limit(ops, {"window_s": 0.5}).status is Status.HELD
    assert check_rate_limit(_history((0.0, YES), (0.5, YES), (1.5, NO)), {"slack": 1.0}).status is Status.HELD
    assert RATE_LIMIT.validate is not None
    with pytest.raises(UsageError, match="window_s=0 is not allowed; a number above 0"):
        RATE_LIMIT.validate({"window_s": 0})


def test_a_window_admits_its_limit_and_forgets_the_old_exactly() -> None:
    window = SlidingWindow(1.0)
    first = [window.take(f"{number}", 2, at_s) for number, at_s in enumerate((0.0, 0.5, 0.9, 1.0, 1.4, 1.5))]

    assert first == [True, True, False, True, False, True]
    assert [window.take("5", 2, 1.6), window.take("2", 2, 9.0)] == [True, False], "a question that comes twice"
    assert window.take("6", 1, 9.0)
