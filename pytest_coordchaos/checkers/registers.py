"""Registers and key-value stores: read, write, compare-and-set, delete, append. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from pytest_coordchaos.checkers.looks import horizon_of
from pytest_coordchaos.checkers.models import Access, Model, State
from pytest_coordchaos.checkers.values import DEAD, freeze
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import Operation, Outcome

__all__ = ["REGISTER_FS", "cas_register", "key_value", "register"]

_READS = frozenset({"read", "get", "r"})
_WRITES = frozenset({"write", "put", "w", "set"})
REGISTER_FS = _READS | _WRITES | {"cas", "delete", "append"}
"""Every `f` these models know."""

AccessOf = Callable[[Operation], Access]


def register(initial: Any = None, *, nil_reads_unknown: bool = False, keyed: bool = False) -> Model:
    """A register with read and write (or get and put).

    Args:
        initial: Its first value.
        nil_reads_unknown: A read of None matches everything, as Knossos has it.
        keyed: One register per key of the operations, instead of one for the whole history.
    """
    return _model("register", initial, _access_of(_READS | _WRITES, "register", nil_reads_unknown), _key_of if keyed else None)


def cas_register(initial: Any = None, *, nil_reads_unknown: bool = False, keyed: bool = False) -> Model:
    """A register with read, write and cas of `[expected, new]`; arguments as for `register`.

    A cas that ended ok with the result False is a completed mismatch: it saw another value.
    """
    access_of = _access_of(_READS | _WRITES | {"cas"}, "cas-register", nil_reads_unknown)
    return _model("cas-register", initial, access_of, _key_of if keyed else None)


def key_value(initial: Any = None, *, append: str = "text") -> Model:
    """One register per key, with get, put, cas, delete (a put of None) and append.

    Args:
        initial: What a key holds before anybody wrote it; None: it is absent.
        append: "text" joins strings, "list" adds one element at the end.
    """
    if append not in ("text", "list"):
        raise UsageError(f"key-value model: append={append!r} is not known; allowed: text, list")
    access_of = _access_of(REGISTER_FS, "key-value", False)
    return _model("key-value", initial, access_of, _key_of, joined if append == "text" else _added)


def _key_of(op: Operation) -> Hashable:
    return freeze(op.key)


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
        horizon=lambda operations: horizon_of([(op, access_of(op)) for op in operations]),
        access=access_of,
    )
