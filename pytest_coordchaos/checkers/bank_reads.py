"""Which transfers a read of balances has seen. Pure.

A read is explained by a set of transfers: all that ended before it began, none that began after it ended, none that failed,
and any of those that were open. The set is looked for by meeting in the middle: the sums of both halves of the open
transfers are made, and one half is looked up in the other. Where the set is the only one, all of it is known to have happened
by the end of the read, and later reads must see it too: what was seen once cannot go away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.history.model import History, Operation, Outcome

__all__ = ["Unexplained", "examine_reads"]

MOST_OPEN = 24
"""A read with more open transfers that concern it is left out: 2^12 sums a half."""

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """A read that no set of whole transfers explains.

    Args:
        read: The operation.
        missing: Account -> what it shows beyond the opening balance and all transfers known to have happened.
        open: How many transfers might have contributed.
    """

    read: Operation
    missing: Mapping[str, int]
    open: int


@dataclass(slots=True, kw_only=True)
class _Transfer:
    """One transfer; `known_ns`: by then it had happened; `not_before_ns`, `never_until_ns`: as far as reads can tell."""

    invoke_ns: int
    known_ns: int | None
    absent_ns: int
    legs: Mapping[str, int]


def examine_reads(history: History, opened: Mapping[str, int]) -> tuple[list[Unexplained], int]:
    """The reads that are not explained, and how many were left out.

    Args:
        history: Operations `transfer`, `total`, `balance`, and what nodes said of `charges`.
        opened: What each account held at first.
    """
    transfers = _transfers(history)
    found, skipped = [], 0
    for read in history:
        if read.f not in ("total", "balance") or read.outcome is not Outcome.OK:
            continue
        seen = read.result if read.f == "total" else {read.key: read.result}
        if not isinstance(seen, Mapping) or not all(
            isinstance(money, int) and account in opened for account, money in seen.items()
        ):
            continue  # no money: the bank checker says so
        explained = _explain(read, {account: money - opened[account] for account, money in seen.items()}, transfers)
        if explained is None:
            skipped += 1
        elif isinstance(explained, Unexplained):
            found.append(explained)
    return found, skipped


def _transfers(history: History) -> list[_Transfer]:
    """All that may have happened, with what nodes said in the end: what no node had applied then, no earlier read has seen."""
    last = last_answers(history, "charges")
    complete = bool(last) and not any(op.result.get("forgotten") for op in last.values())
    asked_ns = min((op.invoke_ns for op in last.values()), default=0)
    applied = {key for op in last.values() for key in op.result.get("applied", ())}
    found = []
    for op in history.only("transfer"):
        legs = {account: amount for account, amount in _legs(op.value) if amount}
        if op.outcome is not Outcome.FAIL and legs:
            absent_ns = asked_ns if complete and op.outcome is Outcome.INFO and op.key not in applied else 0
            known_ns = op.return_ns if op.outcome is Outcome.OK else None
            found.append(_Transfer(invoke_ns=op.invoke_ns, known_ns=known_ns, absent_ns=absent_ns, legs=legs))
    return found


def _legs(value: object) -> Iterable[tuple[str, int]]:
    if isinstance(value, Mapping):
        return ((value["from"], -value["amount"]), (value["to"], value["amount"]))
    return [(account, amount) for account, amount in value] if isinstance(value, list | tuple) else ()


def _explain(read: Operation, change: Mapping[str, int], transfers: Sequence[_Transfer]) -> Unexplained | bool | None:
    """True when explained; None when too much is open."""
    accounts, left, free = tuple(change), dict(change), []
    for one in transfers:
        if not one.legs.keys() & change.keys():
            continue
        if one.known_ns is not None and one.known_ns <= read.invoke_ns:
            for account in one.legs.keys() & change.keys():
                left[account] -= one.legs[account]
        elif one.invoke_ns <= read.return_ns and read.return_ns > one.absent_ns:
            free.append(one)
    if len(free) > MOST_OPEN:
        return None
    target = tuple(left[account] for account in accounts)
    sets = _subsets([tuple(one.legs.get(account, 0) for account in accounts) for one in free], target)
    if not sets:
        missing = {account: money for account, money in left.items() if money}
        return Unexplained(read=read, missing=missing, open=len(free))
    if len(sets) == 1:
        for at, one in enumerate(free):
            if sets[0] >> at & 1:
                one.known_ns = read.return_ns if one.known_ns is None else min(one.known_ns, read.return_ns)
    return True


def _subsets(vectors: Sequence[Vector], target: Vector) -> list[int]:
    """Up to two subsets, as bit masks, that sum to the target."""
    half = len(vectors) // 2
    by_sum: dict[Vector, list[int]] = {}
    for mask, total in _sums(vectors[:half], len(target)):
        by_sum.setdefault(total, []).append(mask)
    found: list[int] = []
    for mask, total in _sums(vectors[half:], len(target)):
        wanted = tuple(want - got for want, got in zip(target, total, strict=True))
        found += [low | mask << half for low in by_sum.get(wanted, ())]
        if len(found) > 1:
            break
    return found


def _sums(vectors: Sequence[Vector], width: int) -> list[tuple[int, Vector]]:
    sums: list[tuple[int, Vector]] = [(0, (0,) * width)]
    for at, vector in enumerate(vectors):
        sums += [(mask | 1 << at, tuple(map(sum, zip(total, vector, strict=True)))) for mask, total in sums]
    return sums
