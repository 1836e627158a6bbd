"""From events (invoke, ok, fail, info) to operations. Pure.

Pairing follows Jepsen: a process does one thing at a time; info, and an invocation that never
ends, stay open for ever, also when the process goes on under the same number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome

__all__ = ["Event", "EventError", "pair"]

_READS = frozenset({"read", "get", "txn", "r"})


class EventError(ValueError):
    """An event that cannot stand where it stands. `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a foreign history.

    Args:
        line: Where it stands in its file.
        process: Any hashable name of the logical client.
        type: "invoke", "ok", "fail" or "info".
        f, key, value: What was asked, or what came back.
        time_ns: As the file says; None where it gives no times.
        error: Text, if any.
        node: The node asked, if the file says so.
    """

    line: int
    process: Any
    type: str
    f: str
    key: Any = None
    value: Any = None
    time_ns: int | None = None
    error: str | None = None
    node: str | None = None


def pair(events: Iterable[Event]) -> History:
    """Operations of these events. The order of events is kept even where their times contradict it.

    Raises:
        EventError: A completion without invocation, or of another `f`.
    """
    open_now: dict[Any, tuple[Event, int, int]] = {}
    numbers: dict[Any, int] = {}
    operations: list[Operation] = []
    now_ns = -1
    for event in events:
        now_ns = max(now_ns + 1, event.time_ns or 0)
        if event.type == "invoke":
            if event.process in open_now:  # started anew without a word: what it did before stays open
                operations.append(_operation(*open_now.pop(event.process), None, now_ns))
            number = numbers.setdefault(event.process, _number(event.process, numbers))
            open_now[event.process] = (event, number, now_ns)
            continue
        if event.process not in open_now:
            if event.type == "info":
                continue
            raise EventError(event.line, f"process {event.process} ended {event.f!r} ({event.type}) without having invoked it")
        invoked = open_now.pop(event.process)
        if invoked[0].f != event.f:
            raise EventError(event.line, f"process {event.process} invoked {invoked[0].f!r} but ended {event.f!r}")
        operations.append(_operation(*invoked, event, now_ns))
    operations += [_operation(*invoked, None, now_ns + 1) for invoked in open_now.values()]
    operations.sort(key=lambda op: op.invoke_ns)
    return History(tuple(_renumbered(op, index) for index, op in enumerate(operations, start=1)))


def _number(process: Any, numbers: dict[Any, int]) -> int:
    """A process that is a number keeps it; others get numbers below zero."""
    return process if isinstance(process, int) else -1 - len(numbers)


def _operation(invoked: Event, process: int, invoke_ns: int, end: Event | None, end_ns: int) -> Operation:
    outcome = Outcome.INFO if end is None else Outcome(end.type)
    result = None
    if end is not None and outcome is Outcome.OK and (invoked.f in _READS or end.value != invoked.value or end.value is False):
        result = end.value
    learned = invoked.value is None and outcome is Outcome.OK and invoked.f not in _READS  # as Knossos completes histories
    return Operation(
        id=1,
        process=process,
        f=invoked.f,
        key=invoked.key,
        value=result if learned else invoked.value,
        result=result,
        outcome=outcome,
        intended_ns=invoke_ns,
        invoke_ns=invoke_ns,
        return_ns=INFINITY_NS if outcome is Outcome.INFO else end_ns,
        ended_ns=end_ns,
        error=None if end is None else end.error,
        node=invoked.node,
    )


def _renumbered(op: Operation, number: int) -> Operation:
    return Operation(
        id=number,
        process=op.process,
        f=op.f,
        key=op.key,
        value=op.value,
        result=op.result,
        outcome=op.outcome,
        intended_ns=op.intended_ns,
        invoke_ns=op.invoke_ns,
        return_ns=op.return_ns,
        ended_ns=op.ended_ns,
        error=op.error,
        node=op.node,
    )
