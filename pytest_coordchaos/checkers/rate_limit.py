"""The invariant "rate-limit": never more admissions than the limit, and no denial without a reason. Pure.

An operation `acquire` of a key, with the limit per window as its value, ended ok with True (admitted) or False (denied). An
admission happened somewhere between invocation and return; so what is said here is certain, whatever the network did.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["RATE_LIMIT", "check_rate_limit"]

_NAME = "rate-limit"
_MOST_SHOWN = 5


def check_rate_limit(history: History, options: Options) -> Verdict:
    """Whether admissions kept to the limit, and denials had a reason.

    Args:
        history: Operations `acquire`: key, value (the limit), result (True or False).
        options: `window_s` (default 1), `slack` (default 0.05: a denial may look so much further back), and from
            the caller `window_start_ns`: what was invoked earlier is context.
    """
    window_s, slack = _number(options, "window_s", 1.0), _number(options, "slack", 0.05)
    start_ns = options.get("window_start_ns", 0)
    assert isinstance(start_ns, int)
    keys: dict[object, list[Operation]] = defaultdict(list)
    for op in history:
        if op.f == "acquire" and op.outcome is not Outcome.FAIL:
            keys[op.key].append(op)
    answered = [op for ops in keys.values() for op in ops if op.outcome is Outcome.OK and op.invoke_ns >= start_ns]
    if not answered:
        return Verdict(name=_NAME, status=Status.UNKNOWN, summary=f"{_NAME}: unknown, nothing was observed (no acquire ended ok)")
    for key, ops in keys.items():
        for found in (_too_many(ops, window_s, start_ns), _no_reason(ops, window_s, slack, start_ns)):
            if found is not None:
                said, shown = found
                summary = f"{_NAME}: violated, key {key!r}: {said}"
                return Verdict(name=_NAME, status=Status.VIOLATED, summary=summary, details=tuple(_lines(shown, start_ns)))
    admitted = sum(op.result is True for op in answered)
    summary = f"{_NAME}: held ({admitted} admitted, {len(answered) - admitted} denied, {len(keys)} keys)"
    return Verdict(name=_NAME, status=Status.HELD, summary=summary)


def _too_many(ops: Sequence[Operation], window_s: float, start_ns: int) -> tuple[str, Sequence[Operation]] | None:
    """More admissions that surely lie in one window than the limit allows."""
    admitted = [op for op in ops if op.result is True]
    for place, first in enumerate(admitted):
        until_ns = first.invoke_ns + int(window_s * 1e9)
        inside = [op for op in _from(admitted, place, until_ns) if op.return_ns <= until_ns]
        if len(inside) > first.value and inside[-1].invoke_ns >= start_ns:
            return f"{len(inside)} were admitted within {window_s:g} s, {first.value} are allowed", inside
    return None


def _from(admitted: Sequence[Operation], place: int, until_ns: int) -> Iterator[Operation]:
    for op in admitted[place:]:
        if op.invoke_ns > until_ns:
            return
        yield op


def _no_reason(ops: Sequence[Operation], window_s: float, slack: float, start_ns: int) -> tuple[str, Sequence[Operation]] | None:
    """A denial before which there cannot have been as many admissions as the limit allows."""
    possible = [op for op in ops if op.result is True or op.outcome is Outcome.INFO]
    invoked = [op.invoke_ns for op in possible]
    for denied in ops:
        if denied.result is not False or denied.invoke_ns < start_ns:
            continue
        since_ns = denied.invoke_ns - int(window_s * (1 + slack) * 1e9)
        before = possible[: bisect_left(invoked, denied.return_ns)]
        reasons = [op for op in before if op.return_ns >= since_ns]
        if len(reasons) < denied.value:
            said = f"one was denied when at most {len(reasons)} of {denied.value} had been admitted in {window_s:g} s"
            return said, [*reasons, denied]
    return None


def _lines(ops: Sequence[Operation], start_ns: int) -> Iterator[str]:
    if len(ops) > _MOST_SHOWN:
        yield f"… {len(ops) - _MOST_SHOWN} earlier operations"
    for op in ops[-_MOST_SHOWN:]:
        begun, ended = (op.invoke_ns - start_ns) / 1e9, (op.ended_ns - start_ns) / 1e9
        how = {True: "admitted", False: "denied"}.get(op.result, "nobody knows")
        yield f"{begun:.4f} s to {ended:.4f} s at {op.node or 'an unnamed node'}: {how}"


def _number(options: Options, name: str, default: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{_NAME}: {name}={value!r} is not allowed; a number above 0")
    return float(value)


def _validate(options: Options) -> None:
    _number(options, "window_s", 1.0)
    _number(options, "slack", 0.05)


RATE_LIMIT = Invariant(
    name=_NAME,
    check=check_rate_limit,
    options=frozenset({"window_s", "slack"}),
    doc="never more admissions in a window than the limit, and no denial before it was reached",
    validate=_validate,
)
