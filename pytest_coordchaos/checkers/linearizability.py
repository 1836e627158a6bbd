"""The invariant "linearizable": history in, verdict out. Pure."""

from __future__ import annotations

from pytest_coordchaos.checkers.choosing import model_of, of_objects
from pytest_coordchaos.checkers.counterexample import minimised, timeline
from pytest_coordchaos.checkers.invariant import Invariant, Options
from pytest_coordchaos.checkers.linearizable import Budget, Finding, examine, objects_of
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.window import WindowFinding, examine_window
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["LINEARIZABLE", "check_linearizable", "check_window", "verdict_of"]

_MOST_LINES = 24


def check_linearizable(history: History, options: Options) -> Verdict:
    """Whether the history is linearizable.

    Args:
        history: What was observed; the whole cluster's when `window_start_ns` is given.
        options: `model` (a name or a Model; default: inferred from the operations), `initial`, `append`
            (see `checkers.registers.key_value`), `budget_s` (default 30), and from the caller:
            `window_start_ns` (what was invoked earlier is context), `context` (a History that came
            before), `now_s` (a clock in seconds for the budget).
    """
    budget = _budget(options)
    history = of_objects(history, options)
    context = options.get("context")
    if isinstance(context, History) and history.operations:
        start_ns = min(op.invoke_ns for op in history)
        return check_window(History.of([*context, *history]), start_ns, options)
    window_start_ns = options.get("window_start_ns")
    if isinstance(window_start_ns, int):
        return check_window(history, window_start_ns, options)
    if not any(op.outcome is Outcome.OK for op in history):
        return _nothing_observed(history)
    model = model_of(history, options)
    if model is None:
        return _no_model(history)
    return verdict_of(examine(history, model, budget), history, model)


def check_window(history_all: History, window_start_ns: int, options: Options) -> Verdict:
    """Linearizability of what was invoked at or after `window_start_ns`; all that came before is context."""
    window = History(tuple(op for op in history_all if op.invoke_ns >= window_start_ns))
    if not any(op.outcome is Outcome.OK for op in window):
        return _nothing_observed(window)
    model = model_of(history_all, options)
    if model is None:
        return _no_model(window)
    found = examine_window(history_all, window_start_ns, model, _budget(options))
    verdict = verdict_of(found.finding, history_all, model, start_ns=window_start_ns)
    return _without_blame(verdict, found) if found.broken and verdict.status is not Status.VIOLATED else verdict


def verdict_of(finding: Finding, history: History, model: Model, *, start_ns: int | None = None) -> Verdict:
    """The finding in words, with the operations that contradict each other; their times count from `start_ns`, as those of
    the run's faults do, or from the first of them."""
    where = "" if model.partition is None or finding.key is None else f"key {finding.key!r}: "
    if finding.status is Status.HELD:
        objects = f"{finding.objects} key{'s' if finding.objects != 1 else ''}, " if model.partition else ""
        summary = f"linearizable: held ({finding.operations} operations, {objects}model {model.name})"
        return Verdict(name="linearizable", status=finding.status, summary=summary)
    if finding.status is Status.UNKNOWN:
        tried = f"{finding.configurations} configurations tried, {finding.certified} completed operations explained"
        summary = f"linearizable: unknown, {where}the budget was used up ({tried}; raise budget_s)"
        return Verdict(name="linearizable", status=finding.status, summary=summary)
    said, details = _contradiction(finding, history, model, start_ns)
    return Verdict(name="linearizable", status=finding.status, summary=f"linearizable: violated, {where}{said}", details=details)


def _contradiction(finding: Finding, history: History, model: Model, start_ns: int | None) -> tuple[str, tuple[str, ...]]:
    if finding.contradiction:
        shown = finding.contradiction.operations
        said = f"{len(shown)} operations contradict each other" if len(shown) > 1 else "an operation saw what nobody wrote"
        return said, _cropped(timeline(shown, finding.contradiction.context, start_ns=start_ns))
    operations = objects_of(history, model)[finding.key]
    shown = minimised(operations, finding.failed_by_ns, model)
    label = f"minimised sub-history ({len(shown)} of {len(operations)} operations)"
    return f"no order explains {label}", _cropped(timeline(shown, start_ns=start_ns))


def _cropped(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The last of many lines, saying so: the end of the story is where it goes wrong."""
    left_out = len(lines) - _MOST_LINES
    return lines if left_out <= 0 else (f"… {left_out} earlier operations", *lines[left_out:])


def _without_blame(verdict: Verdict, found: WindowFinding) -> Verdict:
    keys = ", ".join(repr(key) for key in found.broken) if found.broken != (None,) else "the object"
    summary = f"linearizable: unknown, {keys} was violated before this test began"
    return Verdict(name="linearizable", status=Status.UNKNOWN, summary=summary, details=(f"the rest: {verdict.summary}",))


def _nothing_observed(history: History) -> Verdict:
    how = f"{len(history)} operations, none of them ended ok" if len(history) else "no operation was recorded"
    return Verdict(name="linearizable", status=Status.UNKNOWN, summary=f"linearizable: unknown, nothing was observed ({how})")


def _no_model(history: History) -> Verdict:
    asked = ", ".join(sorted({op.f for op in history}))
    summary = f"linearizable: unknown, no model fits the operations {asked}; name one: invariants('linearizable', model=…)"
    return Verdict(name="linearizable", status=Status.UNKNOWN, summary=summary)


def _budget(options: Options) -> Budget:
    seconds, now_s = options.get("budget_s", 30.0), options.get("now_s")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise UsageError(f"linearizable: budget_s={seconds!r} is not allowed; wanted: a number of seconds above 0")
    return Budget(seconds=float(seconds), now_s=now_s if callable(now_s) else None)


def _validate(options: Options) -> None:
    _budget(options)
    model_of(History(), options)


LINEARIZABLE = Invariant(
    name="linearizable",
    check=check_linearizable,
    options=frozenset({"model", "initial", "append", "budget_s"}),
    doc="every operation seems to happen at one moment between its invocation and its return",
    validate=_validate,
)
