"""Budgets: limits on what a run cost, and the verdicts on them. Pure.

Limits are inclusive. What was not observed is unknown, never held. Counting itself is `counting` and
`latency`; here are the table of limits, the comparison and the words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pytest_coordchaos.cost.background import background_bytes_per_s, background_per_s
from pytest_coordchaos.cost.counting import (
    Count,
    IdleRate,
    Observed,
    bytes_per_op,
    idle_rate,
    messages_per_op,
)
from pytest_coordchaos.cost.latency import percentile
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation
from pytest_coordchaos.run import BudgetRequest
from pytest_coordchaos.system.model import Port
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["LIMITS", "IdleRate", "Limit", "check_limits", "evaluate", "idle_rate"]

_LARGEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One limit to be judged: its name, operation, allowed number, and the table's row."""

    name: str
    op: str | None
    allowed: float
    limit: Limit

    @property
    def scope(self) -> str:
        """What the number is about: "put, node-to-node"."""
        return (
            ", ".join(part for part in (self.op or "all operations", self.limit.scope) if part)
            if self.limit.per_op
            else self.limit.scope
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table of limits.

    Args:
        unit: Unit of the number.
        doc: What is measured, in one line.
        judge: Window and question -> verdict.
        scope: Whose traffic; "" for latency.
        per_op: `op=` narrows it.
    """

    unit: str
    doc: str
    judge: Callable[[Observed, Question], Verdict]
    scope: str = "node-to-node"
    per_op: bool = True


def evaluate(
    request: BudgetRequest,
    history: History,
    ledger: Ledger,
    ports: Sequence[Port],
    nodes: Iterable[str],
    idle: IdleRate | None = None,
) -> tuple[Verdict, ...]:
    """A verdict on each limit of one budget.

    Args:
        request: The limits, and the operation they are about.
        history: Operations invoked in the window.
        ledger: What crossed the links in the window.
        ports, nodes: Of the system.
        idle: Rates of an idle window, for ports that declare no background classes.

    Raises:
        UsageError: A limit of that name does not exist, or its number makes no sense.
    """
    check_limits(request.limits)
    seen = Observed(history, ledger, ports, nodes, idle)
    questions = [
        Question(name=name, op=request.op, allowed=float(allowed), limit=LIMITS[name]) for name, allowed in request.limits.items()
    ]
    return tuple(question.limit.judge(seen, question) for question in questions)


def check_limits(limits: Mapping[str, object]) -> None:
    """Names are in the table and numbers are finite and not negative.

    Raises:
        UsageError: The first that is not; says what is allowed.
    """
    for name, allowed in limits.items():
        if name not in LIMITS:
            raise UsageError(f"coordination_budget({name}=…) is not known; allowed: {', '.join(LIMITS)}")
        number = isinstance(allowed, int | float) and not isinstance(allowed, bool)
        if not number or not 0 <= float(str(allowed)) < math.inf:
            raise UsageError(
                f"coordination_budget({name}={allowed!r}) is not allowed; allowed: a number of {LIMITS[name].unit} from 0"
            )


def _judge_count(count: Callable[[Observed, str | None], Count], per: str, seen: Observed, asked: Question) -> Verdict:
    counted = count(seen, asked.op)
    details = (*_contributors(counted, per), *counted.notes)
    if counted.value is None:
        if counted.most is None or counted.most > asked.allowed:
            return _verdict(asked, Status.UNKNOWN, counted.doubt, details=details)
        said = f"at most {_compared(counted.most, asked)}"
        return _verdict(asked, Status.HELD, said, measured=counted.most, details=(*details, counted.doubt))
    status = Status.HELD if counted.value <= asked.allowed else Status.VIOLATED
    return _verdict(asked, status, _compared(counted.value, asked), measured=counted.value, details=details)


def _judge_percentile(percent: int, seen: Observed, asked: Question) -> Verdict:
    doubt = seen.operations_doubt(asked.op)
    if doubt:
        return _verdict(asked, Status.UNKNOWN, doubt)
    history = seen.history.only(asked.op) if asked.op else seen.history
    found = percentile(history, percent)
    unanswered = [f"unanswered (info): {found.unanswered} of {found.operations}"] if found.unanswered else []
    details = (_slowest(history), *_queued(history, percent, found.least_ms), *unanswered)
    if found.least_ms <= asked.allowed < found.most_ms:
        why = f"at least {show(found.least_ms)} ms; {found.unanswered} of {found.operations} operations were never answered"
        return _verdict(asked, Status.UNKNOWN, why, measured=found.least_ms, details=details)
    if found.least_ms > asked.allowed:
        least = "" if found.exact else "at least "
        return _verdict(
            asked, Status.VIOLATED, least + _compared(found.least_ms, asked), measured=found.least_ms, details=details
        )
    return _verdict(asked, Status.HELD, _compared(found.most_ms, asked), measured=found.most_ms, details=details)


def _verdict(
    asked: Question, status: Status, said: str, *, measured: float | None = None, details: tuple[str, ...] = ()
) -> Verdict:
    word = {Status.HELD: "held", Status.VIOLATED: "exceeded", Status.UNKNOWN: "unknown"}[status]
    unknown = status is Status.UNKNOWN
    scope = f"(limit {exact(asked.allowed)} {asked.limit.unit}; {asked.scope})" if unknown else f"({asked.scope})"
    return Verdict(
        name=f"{asked.name}[{asked.op}]" if asked.op and asked.limit.per_op else asked.name,
        status=status,
        summary=f"{asked.name} {word}: {said} {scope}",
        details=details,
        kind="budget",
        measured=measured,
        limit=asked.allowed,
        unit=asked.limit.unit,
    )


def _compared(measured: float, asked: Question) -> str:
    sign = "<=" if measured <= asked.allowed else ">"
    return f"{apart(measured, asked.allowed)} {sign} {exact(asked.allowed)} {asked.limit.unit}"


def _contributors(counted: Count, per: str) -> tuple[str, ...]:
    flows = sorted((counted.flows or {}).items(), key=lambda item: (-item[1], item[0]))
    if not flows:
        return ()
    named = [f"{flow} {show(amount)}{per}" for flow, amount in flows[:_LARGEST]]
    more = [f"…and {len(flows) - _LARGEST} more"] if len(flows) > _LARGEST else []
    return ("Largest: " + ", ".join(named + more),)


def _slowest(history: History) -> str:
    slowest = sorted(history, key=lambda op: (-op.latency_ns, op.id))
    more = [f"…and {len(slowest) - _LARGEST} more"] if len(slowest) > _LARGEST else []
    return "Slowest: " + ", ".join([_one(op) for op in slowest[:_LARGEST]] + more)


def _queued(history: History, percent: int, total_ms: float) -> tuple[str, ...]:
    """What of a percentile is the load's own queue: operations whose time had come and that no client was free to send."""
    sent_ms = percentile(history, percent, sent=True).least_ms
    if sent_ms >= 0.8 * total_ms:
        return ()
    advice = "before that no client was free (more clients, or a lower rate_per_s)"
    return (f"From when they were really sent: {show(sent_ms)} ms; {advice}",)


def _one(op: Operation) -> str:
    key = "" if op.key is None else f" {op.key}"
    return f"{op.f}{key} at {op.node or 'an unnamed node'} {show(op.latency_ns / 1e6)} ms ({op.outcome.value})"


def show(value: float, digits: int = 3) -> str:
    """A number for people: at least `digits` significant digits, no exponent, no trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact(value: float) -> str:
    """A limit as it was given."""
    return f"{value:.0f}" if value.is_integer() else repr(value)


def apart(measured: float, allowed: float) -> str:
    """The measured number with as many digits as show on which side of the limit it lies."""
    for digits in range(3, 18):
        text = show(measured, digits)
        if (float(text) > allowed) == (measured > allowed) and (float(text) < allowed) == (measured < allowed):
            return text
    return repr(measured)


LIMITS: dict[str, Limit] = {
    "messages_per_op": Limit(
        unit="messages",
        doc="foreground messages between nodes, offered, per operation invoked",
        judge=partial(_judge_count, messages_per_op, "/op"),
    ),
    "bytes_per_op": Limit(
        unit="bytes",
        doc="foreground bytes between nodes, offered, per operation invoked",
        judge=partial(_judge_count, bytes_per_op, " bytes/op"),
    ),
    "p50_ms": Limit(unit="ms", doc="median latency from the intended start", judge=partial(_judge_percentile, 50), scope=""),
    "p99_ms": Limit(
        unit="ms", doc="99th percentile of latency from the intended start", judge=partial(_judge_percentile, 99), scope=""
    ),
    "background_messages_per_s": Limit(
        unit="messages/s",
        doc="background messages between nodes, offered, per second of the window",
        judge=partial(_judge_count, background_per_s, "/s"),
        per_op=False,
    ),
    "background_bytes_per_s": Limit(
        unit="bytes/s",
        doc="bytes of background messages between nodes, offered, per second of the window",
        judge=partial(_judge_count, background_bytes_per_s, " bytes/s"),
        per_op=False,
    ),
}
"""Name of a limit -> how it is judged. Every budget there is."""
