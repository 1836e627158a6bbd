"""Operations and histories, as Jepsen defines them. Pure.

An operation is invoked, then ends `ok` (it happened), `fail` (it surely did not) or `info`
(nobody knows: it may take effect at any later time, so it stays open for ever).
Source of the vocabulary: jepsen-io/history, README.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["INFINITY_NS", "History", "Operation", "Outcome"]

INFINITY_NS = 2**63 - 1
"""The return time of an operation that stays open for ever."""


class Outcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of one client.

    Args:
        id: Positive, unique in its history, in order of invocation; frames carry it on the wire.
        process: The logical client; a client whose operation ended in info goes on under a new number.
        f: What was asked ("get", "put", "cas", "delete", "read", "write", "txn", "acquire" …).
        key: The object asked about; None where there is only one.
        value: The argument ("put": the value; "cas": [expected, new]; "txn": list of micro-operations).
        result: What came back when ok; None otherwise.
        outcome: ok, fail or info.
        intended_ns: When the schedule wanted it to start. Latency runs from here.
        invoke_ns: When it was really sent.
        return_ns: When it ended; `INFINITY_NS` for info.
        ended_ns: For info: when the client gave up (censors the latency); else equals return_ns.
        error: Text of the client's exception, if any.
        node: The node the client was connected to, if known.
    """

    id: int
    process: int
    f: str
    key: Any = None
    value: Any = None
    result: Any = None
    outcome: Outcome
    intended_ns: int
    invoke_ns: int
    return_ns: int
    ended_ns: int
    error: str | None = None
    node: str | None = None

    @property
    def latency_ns(self) -> int:
        """Nanoseconds from the intended start to the end (info: to giving up; a lower bound)."""
        return self.ended_ns - self.intended_ns


@dataclass(frozen=True, slots=True)
class History:
    """Operations in order of invocation.

    Args:
        operations: Sorted by `invoke_ns`, then `id`.
    """

    operations: tuple[Operation, ...] = ()

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> History:
        """A history of these operations, sorted."""
        return cls(tuple(sorted(operations, key=lambda op: (op.invoke_ns, op.id))))

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def only(self, f: str) -> History:
        """The operations with that `f`."""
        return History(tuple(op for op in self.operations if op.f == f))
