"""Registers and key-value stores: read, write, compare-and-set, delete, append. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from pytest_coordchaos.checkers.models import Access, Horizon, Model, State
from pytest_coordchaos.checkers.values import DEAD, freeze
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

__all__ = ["REGISTER_FS", "cas_register", "key_value", "register"]

_READS = frozenset({"read", "get", "r"})
_WRITES = frozenset({"write", "put", "w", "set"})
REGISTER_FS = _READS | _WRITES | {"cas", "delete", "append"}
"""Every `f` these models know."""

AccessOf = Callable[[Operation], Access]


def register(initial: Any = None, *, nil_reads_unknown: bool = False) -> Model:
    """A register with read and write (or get and put), one object for the whole history.

    Args:
        initial: Its first value.
        nil_reads_unknown: A read of None matches everything, as Knossos has it.
    """
    return _model("register", initial, _access_of(_READS | _WRITES, "register", nil_reads_unknown))


def cas_register(initial: Any = None, *, nil_reads_unknown: bool = False) -> Model:
    """A register with read, write and cas of `[expected, new]`.

    A cas that ended ok with the result False is a completed mismatch: it saw another value.
    """
    return _model("cas-register", initial, _access_of(_READS | _WRITES | {"cas"}, "cas-register", nil_reads_unknown))


def key_value(initial: Any = None, *, append: str = "text") -> Model:
    """One register per key, with get, put, cas, delete (a put of None) and append.

    Args:
        initial: What a key holds before anybody wrote it; None: it is absent.
        append: "text" joins strings, "list" adds one element at the end.
    """
    if append not in ("text", "list"):
        raise UsageError(f"key-value model: append={append!r} is not known; allowed: text, list")
    access_of = _access_of(REGISTER_FS, "key-value", False)
    return _model("key-value", initial, access_of, lambda op: freeze(op.key), joined if append == "text" else _added)


def joined(state: Any, piece: Any) -> State:
    """Text append; absent counts as empty."""
    return str(piece) if state is None else str(state) + str(piece)


def _added(state: Any, piece: Any) -> State:
    return (piece,) if state is None else (*state, piece)


def _access_of(allowed: frozenset[str], name: str, nil_reads_unknown: bool) -> AccessOf:
    def access_of(op: Operation) -> Access:
        f = op.f
        if f not in allowed:
            raise UsageError(
                f"operation {op.id}: f {f!r} is not known to the model {name}; allowed: {', '.join(sorted(allowed))}"
            )
        if f in _READS:
            if op.outcome is not Outcome.OK or (nil_reads_unknown and op.result is None):
                return Access("read-any")
            return Access("read", freeze(op.result))
        if f in _WRITES:
            return Access("write", None, freeze(op.value))
        if f == "cas":
            return _cas_access(op)
        return Access("write") if f == "delete" else Access("append", None, freeze(op.value))

    return access_of


def _cas_access(op: Operation) -> Access:
    if not isinstance(op.value, list | tuple) or len(op.value) != 2:
        raise UsageError(f"operation {op.id}: the value of a cas is {op.value!r}; wanted: [expected, new]")
    expected, new = op.value
    kind = "mismatch" if op.outcome is Outcome.OK and op.result is False else "cas"
    return Access(kind, freeze(expected), freeze(new))


def _model(
    name: str,
    initial: Any,
    access_of: AccessOf,
    partition: Callable[[Operation], Hashable] | None = None,
    append: Callable[[Any, Any], State] = joined,
) -> Model:
    def step(state: Any, op: Operation) -> tuple[bool, Any]:
        access = access_of(op)
        match access.kind:
            case "read":
                return state == access.expected, state
            case "write":
                return True, access.new
            case "cas":
                return state == access.expected, access.new
            case "mismatch":
                return state != access.expected, state
            case "append":
                return True, DEAD if state is DEAD else append(state, access.new)
        return True, state

    return Model(
        name=name,
        initial=freeze(initial),
        step=step,
        partition=partition,
        observes_only=lambda op: access_of(op).kind in ("read", "read-any", "mismatch"),
        overwrites=lambda op: access_of(op).kind == "write",
        signature=access_of,
        horizon=lambda operations: _horizon(operations, access_of),
        access=access_of,
    )


def _horizon(operations: Sequence[Operation], access_of: AccessOf) -> Horizon:
    """Which values will be looked at, and until when."""
    accesses = [(op, access_of(op)) for op in operations]
    until: dict[State, int] = {}
    for op, access in _lookers(accesses):
        until[access.expected] = max(until.get(access.expected, -1), op.return_ns)
    appends = any(access.kind == "append" for _, access in accesses)
    last_seen = _by_prefix(until) if appends else _by_value(until)
    blind = not any(access.kind == "mismatch" for _, access in accesses)

    def collapse(state: Any, now_ns: int) -> Any:
        return state if last_seen(state) >= now_ns else DEAD

    def useful_until_ns(op: Operation) -> int:
        access = access_of(op)
        if not blind:
            return INFINITY_NS
        return _last_part(until, access.new) if access.kind == "append" else last_seen(access.new)

    return Horizon(collapse=collapse, dead_is_worst=blind, useful_until_ns=useful_until_ns)


def _lookers(accesses: Sequence[tuple[Operation, Access]]) -> Iterator[tuple[Operation, Access]]:
    """The operations that look at the state and matter: not a crashed cas whose new value nobody looks at."""
    waiting: dict[State, list[tuple[Operation, Access]]] = {}
    todo: list[tuple[Operation, Access]] = []
    for op, access in accesses:
        if access.kind in ("read", "mismatch") or (access.kind == "cas" and op.outcome is Outcome.OK):
            todo.append((op, access))
        elif access.kind == "cas":
            waiting.setdefault(access.new, []).append((op, access))
    if any(access.kind in ("mismatch", "append") for _, access in accesses):
        todo += [crashed for of_value in waiting.values() for crashed in of_value]
        waiting = {}
    while todo:
        op, access = todo.pop()
        yield op, access
        todo += waiting.pop(access.expected, ())


def _by_value(until: dict[State, int]) -> Callable[[Any], int]:
    return lambda state: until.get(state, -1)


def _last_part(until: dict[State, int], piece: Any) -> int:
    """When a value that an append of `piece` can have led to is looked at for the last time."""
    whole = [(value, time_ns) for value, time_ns in until.items() if isinstance(value, str | tuple)]
    return max((time_ns for value, time_ns in whole if (str(piece) if isinstance(value, str) else piece) in value), default=-1)


def _by_prefix(until: dict[State, int]) -> Callable[[Any], int]:
    """When a state, or anything it can grow into by appending, is looked at for the last time."""
    texts = sorted(value for value in until if isinstance(value, str))
    lists = [value for value in until if isinstance(value, tuple)]
    known: dict[State, int] = {}

    def last_seen(state: Any) -> int:
        found = known.get(state)
        if found is None:
            found = known[state] = _longest(state)
        return found

    def _longest(state: Any) -> int:
        if state is DEAD:
            return -1
        if state is None:
            return INFINITY_NS
        grown: Sequence[State]
        if isinstance(state, tuple):
            grown = [value for value in lists if value[: len(state)] == state]
        elif isinstance(state, str):
            low = bisect.bisect_left(texts, state)
            grown = texts[low : bisect.bisect_left(texts, state + chr(0x10FFFF))]
        else:
            return INFINITY_NS
        return max((until[value] for value in [*grown, state] if value in until), default=-1)

    return last_seen
