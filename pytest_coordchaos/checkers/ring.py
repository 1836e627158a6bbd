"""Invariants of a consistent-hash ring as its members tell it: balance, minimal movement, one owner for one view. Pure.

The answer to `ring` is `{"members": [name …], "owners": {key: name}, "shares": {name: share}}`: who is on the ring, who owns
each key of a sample, and (if known) how much of all keys each owns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pytest_coordchaos.checkers.detector_logs import verdict, window_of
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["LOOKUPS_AGREE", "MINIMAL_KEY_MOVEMENT", "RING_BALANCE", "check_agreement", "check_balance", "check_movement"]

_BALANCE, _MOVED = 1.5, 2.0
_MOST_PAIRS = 2000


def check_balance(history: History, options: Options) -> Verdict:
    """Whether no member owns much more than the mean share.

    Args:
        history: With answers to `ring`.
        options: `limit` (greatest share over the mean; default 1.5); from the caller: `window_start_ns`.
    """
    limit = _above_one("ring-balance", options, "limit", _BALANCE)
    worst, told = 0.0, ""
    answers = _answers(history, options)
    for op in answers:
        shares = _shares(op.result)
        name = max(shares, key=lambda one: shares[one])
        over = shares[name] * len(shares)
        if over > worst:
            worst, told = over, f"{name} owns {shares[name]:.1%} of the keys of {len(shares)} members, as {op.node} tells"
    if not answers:
        return _nothing("ring-balance")
    status = Status.HELD if worst <= limit else Status.VIOLATED
    return verdict(
        "ring-balance", status, f"greatest share {worst:.2f} {'<=' if worst <= limit else '>'} {limit:g} × mean", (told,)
    )


def check_movement(history: History, options: Options) -> Verdict:
    """Whether keys moved only to who came or from who went, and not many on one coming or going.

    Args:
        history: With answers to `ring` by different groups.
        options: `factor` (of 1/(n + 1), the share that one who comes takes over; default 2); from the caller: `window_start_ns`.
    """
    name = "minimal-key-movement"
    factor = _above_one(name, options, "factor", _MOVED)
    rings = list({_members(op.result): op.result["owners"] for op in _answers(history, options)}.items())
    pairs = list(combinations(rings, 2))[-_MOST_PAIRS:]
    wrong, most = [], 0.0
    for (before, owners), (after, owners_after) in pairs:
        moved = {key: (owner, owners_after[key]) for key, owner in owners.items() if owners_after.get(key, owner) != owner}
        needless = {key: move for key, move in moved.items() if move[0] in after and move[1] in before}
        wrong += [f"{key} moved from {old} to {new}, both there all the time" for key, (old, new) in needless.items()]
        if len(set(before) ^ set(after)) == 1:
            most = max(most, len(moved) / len(owners) * max(len(before), len(after)))
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} keys moved needlessly", wrong)
    if not pairs:
        return verdict(name, Status.UNKNOWN, "nothing was observed (the ring never changed)")
    status = Status.HELD if most <= factor else Status.VIOLATED
    return verdict(
        name,
        status,
        f"{len(pairs)} changes; one coming or going moved at most {most:.2f} (limit {factor:g}) × 1/(n+1) of the keys",
    )


def check_agreement(history: History, options: Options) -> Verdict:
    """Whether rings of the same members have the same owners, whoever tells.

    Args:
        history: With answers to `ring`.
        options: From the caller: `window_start_ns`.
    """
    name = "lookups-agree"
    by_members: dict[tuple[str, ...], list[Operation]] = {}
    for op in _answers(history, options):
        by_members.setdefault(_members(op.result), []).append(op)
    compared, wrong = 0, []
    for first, *rest in by_members.values():
        owners = first.result["owners"]
        for op in rest:
            compared += 1
            told: Mapping[str, str] = op.result["owners"]
            wrong += [
                f"{key} belongs to {owner} as {first.node} tells, to {told.get(key)} as {op.node} does"
                for key, owner in owners.items()
                if told.get(key) != owner
            ]
    if wrong:
        return verdict(name, Status.VIOLATED, f"{len(wrong)} owners differ between rings of the same members", wrong)
    if not compared:
        return _nothing(name)
    return verdict(name, Status.HELD, f"{compared} rings have the owners that others with the same members have")


def _answers(history: History, options: Options) -> list[Operation]:
    asked = window_of(history, options).only("ring")
    return [op for op in asked if op.outcome is Outcome.OK and op.result and op.result["owners"] and op.result["members"]]


def _members(ring: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(ring["members"]))


def _shares(ring: Mapping[str, Any]) -> dict[str, float]:
    told: Mapping[str, float] | None = ring.get("shares")
    if told:
        return dict(told)
    owners: Sequence[str] = list(ring["owners"].values())
    counted = Counter(owners)
    return {name: counted[name] / len(owners) for name in dict.fromkeys([*ring["members"], *owners])}


def _nothing(name: str) -> Verdict:
    return verdict(name, Status.UNKNOWN, "nothing was observed (no two answers to `ring` can be compared)")


def _above_one(name: str, options: Options, option: str, default: float) -> float:
    value = options.get(option, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise UsageError(f"{name}: {option}={value!r} is not allowed; wanted: a number from 1")
    return float(value)


RING_BALANCE = Invariant(
    name="ring-balance",
    check=check_balance,
    options=frozenset({"limit"}),
    doc="no member owns much more of the ring than the mean",
    validate=lambda options: _checked("ring-balance", options, "limit", _BALANCE),
)
MINIMAL_KEY_MOVEMENT = Invariant(
    name="minimal-key-movement",
    check=check_movement,
    options=frozenset({"factor"}),
    doc="keys move only to who comes or from who goes, about 1/(n + 1) of them",
    validate=lambda options: _checked("minimal-key-movement", options, "factor", _MOVED),
)
LOOKUPS_AGREE = Invariant(
    name="lookups-agree",
    check=check_agreement,
    options=frozenset(),
    doc="members that see the same group name the same owner of each key",
)


def _checked(name: str, options: Options, option: str, default: float) -> None:
    _above_one(name, options, option, default)
