"""The three-valued verdict that invariants and budgets give. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Status", "Verdict", "worst"]


class Status(StrEnum):
    """What could be said of a promise."""

    HELD = "held"
    UNKNOWN = "unknown"
    VIOLATED = "violated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one invariant or budget says of one run.

    Args:
        name: The invariant ("linearizable") or budget ("messages_per_op[put]").
        status: Held, violated or unknown. "Nothing was observed" is unknown.
        summary: One line. Budgets: `<what> exceeded: <measured> > <limit> <unit> (<scope>)`.
        details: Further lines: largest contributors, contradicting operations.
        kind: "invariant" or "budget".
        measured: The measured number of a budget, in `unit`.
        limit: The allowed number of a budget, inclusive, in `unit`.
        unit: Unit of both.
    """

    name: str
    status: Status
    summary: str
    details: tuple[str, ...] = ()
    kind: str = "invariant"
    measured: float | None = None
    limit: float | None = None
    unit: str = ""


_ORDER = (Status.HELD, Status.UNKNOWN, Status.VIOLATED)


def worst(verdicts: Iterable[Verdict]) -> Status:
    """The worst status among verdicts (held < unknown < violated); unknown when there is none."""
    return max((v.status for v in verdicts), key=_ORDER.index, default=Status.UNKNOWN)
