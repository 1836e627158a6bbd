"""Money: its sum is constant, no balance is negative, and every read is explained by whole transfers. Pure.

Operations: `transfer` with value `[[account, amount], …]` or `{"from", "to", "amount"}`, `total` with a mapping account -> money
as its result, `balance` of the account `key`; nodes may be asked `accounts`, and answer `{"opened": {account: money at first}}`.
The sum and the negatives are Jepsen's bank checker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_coordchaos.checkers.bank_reads import Unexplained, examine_reads
from pytest_coordchaos.checkers.blame import of_this_window
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["BANK", "check_bank", "check_reads"]

_MOST_LINES = 12


def check_bank(history: History, options: Options) -> Verdict:
    """Every `total` has the same sum, and nobody owes anything.

    Args:
        history: What was observed.
        options: `total`: the sum (default: what the accounts were opened with, else the first total's); `negative_balances`:
            allowed (default False).
    """
    reads = [op for op in _ok(history, "total") if isinstance(op.result, Mapping)]
    if not reads:
        return Verdict(name="bank", status=Status.UNKNOWN, summary="bank: unknown, nothing was observed (no total ended ok)")
    expected = _expected(history, options, reads[0])
    found = [text for op in reads for text in _wrong(op, expected, options.get("negative_balances") is True)]
    if not found:
        return Verdict(name="bank", status=Status.HELD, summary=f"bank: held ({len(reads)} totals, each {expected})")
    summary = f"bank violated: {len(found)} of {len(reads)} totals are wrong; {found[0]}"
    return Verdict(name="bank", status=Status.VIOLATED, summary=summary, details=tuple(found[:_MOST_LINES]))


def _wrong(op: Operation, expected: int, negatives: bool) -> Iterator[str]:
    where = f"operation {op.id} at {op.invoke_ns / 1e9:.3f} s"
    strange = {account: money for account, money in op.result.items() if isinstance(money, bool) or not isinstance(money, int)}
    if strange:
        yield f"{where} reads {strange}, which is no money"
    elif (total := sum(op.result.values())) != expected:
        yield f"{where} reads {total}, wanted {expected}: {dict(op.result)}"
    elif not negatives and any(money < 0 for money in op.result.values()):
        yield f"{where} reads a negative balance: { ({account: money for account, money in op.result.items() if money < 0}) }"


def check_reads(history: History, options: Options) -> Verdict:
    """Every read is what some whole transfers lead to: all that were acknowledged before it, none that failed, and of those that
    were open any. So nobody saw what was not decided, or only half of a transfer.

    Args:
        history: What was observed.
        options: `initial`: account -> money at first (default: what nodes say of `accounts`).
    """
    name, opened = "reads-explained", _opened(history, options)
    reads = [*_ok(history, "total"), *_ok(history, "balance")]
    if not reads or not opened:
        why = "no read ended ok" if not reads else "nobody said what the accounts were opened with"
        return Verdict(name=name, status=Status.UNKNOWN, summary=f"{name}: unknown, nothing was observed ({why})")
    found, skipped = examine_reads(history, opened)
    if found:
        lines = tuple(_told(one) for one in found)
        summary = f"{name} violated: {len(lines)} of {len(reads)} reads are explained by no set of whole transfers; {lines[0]}"
        return Verdict(name=name, status=Status.VIOLATED, summary=summary, details=lines[:_MOST_LINES])
    if skipped == len(reads):
        summary = f"{name}: unknown, at each of {skipped} reads too many transfers were open"
        return Verdict(name=name, status=Status.UNKNOWN, summary=summary)
    left_out = f", {skipped} left out: too many transfers were open" if skipped else ""
    return Verdict(name=name, status=Status.HELD, summary=f"{name}: held ({len(reads)} reads{left_out})")


def _told(one: Unexplained) -> str:
    difference = ", ".join(f"{account} {money:+d}" for account, money in one.missing.items())
    said = f"operation {one.read.id} at {one.read.invoke_ns / 1e9:.3f} s reads {one.read.result!r}"
    return f"{said}; beyond what was acknowledged: {difference or 'nothing'}, which none of {one.open} open transfers makes up"


def _ok(history: History, f: str) -> list[Operation]:
    return [op for op in history if op.f == f and op.outcome is Outcome.OK and op.result is not None]


def _opened(history: History, options: Options) -> dict[str, int]:
    initial = options.get("initial")
    if isinstance(initial, Mapping):
        return dict(initial)
    opened: dict[str, int] = {}
    for op in _ok(history, "accounts"):
        if isinstance(op.result, Mapping):
            opened |= op.result.get("opened") or {}
    return opened


def _expected(history: History, options: Options, first: Operation) -> int:
    total = _total(options)
    if total is not None:
        return total
    opened = _opened(history, options)
    known = opened if set(opened) == set(first.result) else first.result
    return sum(money for money in known.values() if isinstance(money, int))


def _total(options: Options) -> int | None:
    total: Any = options.get("total")
    if total is not None and (isinstance(total, bool) or not isinstance(total, int)):
        raise UsageError(f"bank: total={total!r} is not allowed; wanted: a whole number")
    return total


def _validate_reads(options: Options) -> None:
    initial = options.get("initial")
    if initial is not None and not isinstance(initial, Mapping):
        raise UsageError(f"reads-explained: initial={initial!r} is not allowed; wanted: account -> money")


BANK = (
    Invariant(
        name="bank",
        check=of_this_window(check_bank),
        options=frozenset({"total", "negative_balances"}),
        doc="the sum of all accounts is constant in every total, and none is negative",
        validate=lambda options: (_total(options), None)[1],
    ),
    Invariant(
        name="reads-explained",
        check=of_this_window(check_reads),
        options=frozenset({"initial"}),
        doc="every read is what whole transfers lead to: nobody sees what is not decided",
        validate=_validate_reads,
    ),
)
"""The invariants of a bank."""
