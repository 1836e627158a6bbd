"""What the operations on one register will still look at (observability). Pure.

A value is looked at by reads and successful compare-and-sets (they need it to be there) and by
mismatches (they need it to be away). Values that nobody looks at any more are one state. A crashed
operation is worth trying as long as somebody may look at what it leaves; after that only as a way
to get rid of a value which a mismatch needs away.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from pytest_coordchaos.checkers.models import Access, Horizon, State
from pytest_coordchaos.checkers.values import DEAD
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

__all__ = ["horizon_of"]

Touches = Sequence[tuple[Operation, Access]]
Times = dict[State, int]
_GONE = (None, INFINITY_NS)


def horizon_of(touches: Touches) -> Horizon:
    """The horizon of one register's operations."""
    appends = any(access.kind == "append" for _, access in touches)
    away = _last_return(touches, ("mismatch",))
    there = _last_return(touches, ("read", "cas"), crashed_too=appends)
    if not appends:
        _look_through_crashed(touches, there, away)
    both = {value: max(there.get(value, -1), away.get(value, -1)) for value in there | away}
    last_seen = _by_prefix(both) if appends else _by_value(both)
    last_away_ns = max(away.values(), default=-1)
    crashed = {op.id: access for op, access in touches if op.outcome is not Outcome.OK}

    def collapse(state: Any, now_ns: int) -> Any:
        return state if last_seen(state) >= now_ns else DEAD

    def recast(op: Operation, now_ns: int) -> tuple[Hashable | None, int]:
        access = crashed[op.id]
        until_ns = _last_part(both, access.new) if access.kind == "append" else last_seen(access.new)
        if appends and away:
            return access, INFINITY_NS
        if now_ns <= until_ns:
            return access, until_ns
        until_ns = away.get(access.expected, -1) if access.kind == "cas" else last_away_ns
        return (Access(access.kind, access.expected, DEAD), until_ns) if now_ns <= until_ns else _GONE

    return Horizon(collapse=collapse, dead_is_worst=not away, recast=recast)


def _last_return(touches: Touches, kinds: tuple[str, ...], crashed_too: bool = False) -> Times:
    until: Times = {}
    for op, access in touches:
        if access.kind in kinds and (crashed_too or op.outcome is Outcome.OK):
            until[access.expected] = max(until.get(access.expected, -1), op.return_ns)
    return until


def _look_through_crashed(touches: Touches, there: Times, away: Mapping[State, int]) -> None:
    """A crashed compare-and-set looks at what it expects for as long as it is worth trying."""
    by_new: dict[State, list[Access]] = {}
    for op, access in touches:
        if access.kind == "cas" and op.outcome is not Outcome.OK:
            by_new.setdefault(access.new, []).append(access)
    todo = [access for of_value in by_new.values() for access in of_value]
    while todo:
        access = todo.pop()
        until_ns = max(there.get(access.new, -1), away.get(access.expected, -1))
        if until_ns > there.get(access.expected, -1):
            there[access.expected] = until_ns
            todo += by_new.get(access.expected, ())


def _by_value(until: Times) -> Callable[[Any], int]:
    return lambda state: until.get(state, -1)


def _last_part(until: Times, piece: Any) -> int:
    """When a value that an append of `piece` can have led to is looked at for the last time."""
    whole = [(value, time_ns) for value, time_ns in until.items() if isinstance(value, str | tuple)]
    return max((time_ns for value, time_ns in whole if (str(piece) if isinstance(value, str) else piece) in value), default=-1)


def _by_prefix(until: Times) -> Callable[[Any], int]:
    """When a state, or anything it can grow into by appending, is looked at for the last time."""
    texts = sorted(value for value in until if isinstance(value, str))
    lists = [value for value in until if isinstance(value, tuple)]
    known: Times = {}

    def last_seen(state: Any) -> int:
        found = known.get(state)
        if found is None:
            found = known[state] = longest(state)
        return found

    def longest(state: Any) -> int:
        grown: Sequence[State]
        if state is DEAD:
            return -1
        if isinstance(state, tuple):
            grown = [value for value in lists if value[: len(state)] == state]
        elif isinstance(state, str):
            low = bisect.bisect_left(texts, state)
            grown = texts[low : bisect.bisect_left(texts, state + chr(0x10FFFF))]
        else:
            return INFINITY_NS
        return max((until[value] for value in [*grown, state] if value in until), default=-1)

    return last_seen
