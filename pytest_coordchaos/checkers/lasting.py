"""What nodes say again and again although it should pass: locks that stay held, transactions that stay undecided. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_coordchaos.checkers.blame import of_this_window
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.checkers.spans import FaultSpan
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["LOCKS_RELEASED", "Lasting", "check_locks_released", "check_within", "lasting_of"]

WITHIN_S = 5.0
"""Default of the option `within_s`: what lasts that long after the last fault lasts for ever."""

_MOST_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """What did not pass.

    Args:
        stuck: (node, thing, seconds, first answer, last answer) of what was in all answers of a node for `within_s` or longer.
        open: (node, thing) of what was still in a node's last answer, but not for so long.
    """

    stuck: tuple[tuple[str, str, float, Operation, Operation], ...]
    open: tuple[tuple[str, str], ...]


def lasting_of(answers: Iterable[Operation], things: Callable[[Operation], frozenset[str]], options: Options) -> Lasting:
    """Follow each thing to the last answer of its node; answers that came while faults were in force do not count.

    Args:
        answers: In the order in which they came.
        things: What an answer names.
        options: `faults` of the run, `within_s`.
    """
    within_s, quiet_ns = _within_s(options), _quiet_since_ns(options)
    since: dict[str, dict[str, Operation]] = {}
    last: dict[str, Operation] = {}
    for op in answers:
        node, before = str(op.node), since.get(str(op.node), {})
        quiet = op.invoke_ns >= quiet_ns
        since[node] = {thing: before.get(thing, op) for thing in sorted(things(op))} if quiet else {}
        last[node] = op
    stuck, young = [], []
    for node, named in since.items():
        for thing, first in named.items():
            seconds = (last[node].invoke_ns - first.return_ns) / 1e9
            if seconds >= within_s:
                stuck.append((node, thing, seconds, first, last[node]))
            else:
                young.append((node, thing))
    young += [(node, thing) for node, op in last.items() if op.invoke_ns < quiet_ns for thing in sorted(things(op))]
    return Lasting(stuck=tuple(stuck), open=tuple(young))


def check_within(options: Options) -> None:
    """The option `within_s` is a number.

    Raises:
        UsageError: It is not.
    """
    _within_s(options)


def _within_s(options: Options) -> float:
    within_s = options.get("within_s", WITHIN_S)
    if isinstance(within_s, bool) or not isinstance(within_s, int | float) or not within_s > 0:
        raise UsageError(f"within_s={within_s!r} is not allowed; wanted: a number of seconds above 0")
    return float(within_s)


def _quiet_since_ns(options: Options) -> int:
    faults = options.get("faults")
    spans: tuple[FaultSpan, ...] = faults if isinstance(faults, tuple) else ()
    return max((INFINITY_NS if fault.end_ns is None else fault.end_ns for fault in spans), default=0)


def check_locks_released(history: History, options: Options) -> Verdict:
    """No lock outlives its transaction: nodes are asked `locks`, and answer `{"held": {object: holders}}`."""
    name = "locks-released"
    answers = [op for op in history if op.f == "locks" and op.outcome is Outcome.OK and op.node and isinstance(op.result, dict)]
    lasting = lasting_of(sorted(answers, key=lambda op: op.return_ns), _held, options)
    if not answers:
        summary = f"{name}: unknown, nothing was observed (no node answered 'locks')"
        return Verdict(name=name, status=Status.UNKNOWN, summary=summary)
    if lasting.stuck:
        lines = tuple(
            f"{node}: {thing}, for {seconds:.1f} s after the last fault (answers {first.id} to {last.id})"
            for node, thing, seconds, first, last in lasting.stuck
        )
        summary = f"{name} violated: {len(lines)} locks are never released; {lines[0]}"
        return Verdict(name=name, status=Status.VIOLATED, summary=summary, details=lines[:_MOST_LINES])
    if lasting.open:
        node, thing = lasting.open[0]
        summary = f"{name}: unknown, when last asked {node} said: {thing}; too soon to say for ever"
        return Verdict(name=name, status=Status.UNKNOWN, summary=summary)
    return Verdict(name=name, status=Status.HELD, summary=f"{name}: held ({len({op.node for op in answers})} nodes hold no lock)")


def _held(op: Operation) -> frozenset[str]:
    held = op.result.get("held", {})
    return frozenset(f"{name} is held by {holder}" for name, holders in held.items() for holder in holders)


LOCKS_RELEASED = Invariant(
    name="locks-released",
    check=of_this_window(check_locks_released),
    options=frozenset({"within_s"}),
    doc="no lock outlives its transaction",
    needs=frozenset({"faults"}),
    eventual=True,
    validate=check_within,
)
