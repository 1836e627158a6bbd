"""The mutex, and several registers touched by one transaction. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from pytest_coordchaos.checkers.models import Horizon, Model
from pytest_coordchaos.checkers.values import DEAD, freeze
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

__all__ = ["multi_register", "mutex"]


def mutex() -> Model:
    """A lock per key, with acquire and release; it does not ask who releases it (Knossos' mutex)."""

    def step(state: Any, op: Operation) -> tuple[bool, Any]:
        if op.f not in ("acquire", "release"):
            raise UsageError(f"operation {op.id}: f {op.f!r} is not known to the model mutex; allowed: acquire, release")
        wanted = "free" if op.f == "acquire" else "held"
        return state == wanted, "held" if op.f == "acquire" else "free"

    return Model(name="mutex", initial="free", step=step, partition=lambda op: freeze(op.key), signature=lambda op: op.f)


def multi_register(initial: Any = None, *, nil_reads_unknown: bool = False) -> Model:
    """Several registers under one lock: `txn` of `[[read, key, value], [write, key, value] …]`, all at once.

    Args:
        initial: What each register holds at first: a mapping by key, or one value for all.
        nil_reads_unknown: A read of None matches everything, as Knossos has it.
    """
    by_key = {freeze(key): freeze(value) for key, value in initial.items()} if isinstance(initial, Mapping) else {}
    default = None if isinstance(initial, Mapping) else freeze(initial)

    def steps_of(op: Operation) -> tuple[tuple[bool, Hashable, Hashable], ...]:
        return tuple(_micro_operations(op, nil_reads_unknown))

    def step(state: Any, op: Operation) -> tuple[bool, Any]:
        values = dict(state)
        for writes, key, value in steps_of(op):
            if writes:
                values[key] = value
            elif values.get(key, by_key.get(key, default)) != value:
                return False, state
        return True, frozenset(values.items())

    def horizon(operations: Sequence[Operation]) -> Horizon:
        until: dict[tuple[Hashable, Hashable], int] = {}
        for op in operations:
            for writes, key, value in steps_of(op):
                if not writes:
                    until[key, value] = max(until.get((key, value), -1), op.return_ns)

        def collapse(state: Any, now_ns: int) -> Any:
            return frozenset((key, value if until.get((key, value), -1) >= now_ns else DEAD) for key, value in state)

        def recast(op: Operation, now_ns: int) -> tuple[Hashable | None, int]:
            writes = ((key, value) for writes, key, value in steps_of(op) if writes)
            looked_at_ns = max((until.get(write, -1) for write in writes), default=-1)
            return (steps_of(op), looked_at_ns) if now_ns <= looked_at_ns else (None, INFINITY_NS)

        return Horizon(collapse=collapse, recast=recast)

    return Model(
        name="multi-register",
        initial=frozenset(by_key.items()),
        step=step,
        observes_only=lambda op: not any(writes for writes, _, _ in steps_of(op)),
        overwrites=None,
        signature=steps_of,
        horizon=horizon,
    )


def _micro_operations(op: Operation, nil_reads_unknown: bool) -> Iterator[tuple[bool, Hashable, Hashable]]:
    """(writes, key, value) of each step; reads of unknown values are left out."""
    if op.f != "txn":
        raise UsageError(f"operation {op.id}: f {op.f!r} is not known to the model multi-register; allowed: txn")
    known = op.outcome is Outcome.OK
    for step in (op.result if known and op.result is not None else op.value) or ():
        if not isinstance(step, list | tuple) or len(step) != 3 or step[0] not in ("r", "read", "w", "write"):
            raise UsageError(f"operation {op.id}: {step!r} is no step of a txn; wanted: [read or write, key, value]")
        kind, key, value = step
        if kind in ("w", "write"):
            yield True, freeze(key), freeze(value)
        elif known and not (nil_reads_unknown and value is None):
            yield False, freeze(key), freeze(value)
