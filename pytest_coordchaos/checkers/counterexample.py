"""Few operations that show why a history is not linearizable, and how to say so. Pure.

A sub-history is minimised by weakening: an operation is taken out by allowing it to have happened
at any time, or never (a read: by forgetting it). What is left cannot be explained even so, hence
also not on its own; and a write that explains a read stays beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_coordchaos.checkers.frontier import Frontier
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome

__all__ = ["minimised", "timeline"]


def minimised(operations: Sequence[Operation], failed_by_ns: int, model: Model, *, work: int = 50_000) -> tuple[Operation, ...]:
    """A small part of one object's operations that is not linearizable on its own.

    Args:
        operations: All of the object's operations; not linearizable.
        failed_by_ns: What was invoked later has no part in the failure.
        model: The model.
        work: Roughly how many operations and configurations to look at for it.
    """
    strong = [op for op in operations if op.invoke_ns <= failed_by_ns]
    trial = _Trial(model, failed_by_ns, work)
    if not trial.fails(strong, []):
        return tuple(strong)
    weak: list[Operation] = []
    size = max(1, len(strong) // 2)
    while True:
        at = 0
        while at < len(strong) and trial.work_left > 0:
            kept, taken = strong[:at] + strong[at + size :], strong[at : at + size]
            if trial.fails(kept, weak + taken):
                strong, weak = kept, weak + taken
            else:
                at += size
        if size == 1 or trial.work_left <= 0:
            return tuple(strong)
        size = max(1, min(size, len(strong)) // 2)


class _Trial:
    """Searches of parts, within one amount of work."""

    def __init__(self, model: Model, until_ns: int, work: int) -> None:
        self._model = model
        self._until_ns = until_ns
        self.work_left = work

    def fails(self, strong: Sequence[Operation], weak: Iterable[Operation]) -> bool:
        """Whether the strong ones cannot be explained, though the weak ones may have happened at any time."""
        observes = self._model.observes_only or (lambda op: False)
        loose = [_loosened(op, -1) for op in weak if not observes(op)]
        cut = [op if op.return_ns <= self._until_ns else _loosened(op, op.invoke_ns) for op in strong]
        part = sorted(loose + cut, key=lambda op: (op.invoke_ns, op.id))
        frontier = Frontier(part, self._model)
        limit = self.work_left
        for _ in frontier.run():
            if frontier.configurations > limit:
                break
        self.work_left -= len(part) + frontier.configurations
        return frontier.failed_at is not None


def _loosened(op: Operation, invoke_ns: int) -> Operation:
    return replace(op, outcome=Outcome.INFO, result=None, invoke_ns=invoke_ns, return_ns=INFINITY_NS)


def timeline(
    operations: Iterable[Operation], context: Iterable[Operation] = (), *, start_ns: int | None = None
) -> tuple[str, ...]:
    """One line per operation, in order of invocation, times in milliseconds.

    Args:
        operations: What contradicts.
        context: What wrote the values seen, or proves that a crashed operation happened; marked as such.
        start_ns: When the times are counted from; None: from the first of `operations`.
    """
    shown, wrote = list(operations), list(context)
    everything = sorted([*shown, *wrote], key=lambda op: (op.invoke_ns, op.id))
    if start_ns is None:
        start_ns = min((op.invoke_ns for op in shown), default=0)
    who = [_who(op) for op in everything]
    width = max(map(len, who), default=0)
    context_ids = {op.id for op in wrote}
    return tuple(
        f"{client:<{width}}  {_when(op, start_ns)}  {_what(op)}{'   (context)' if op.id in context_ids else ''}"
        for client, op in zip(who, everything, strict=True)
    )


def _who(op: Operation) -> str:
    return f"process {op.process}" + (f" at {op.node}" if op.node else "")


def _when(op: Operation, start_ns: int) -> str:
    begin_ms = (op.invoke_ns - start_ns) / 1e6
    end = "open" if op.return_ns == INFINITY_NS else f"{(op.return_ns - start_ns) / 1e6:.3f} ms"
    return f"{begin_ms:>10.3f} ms to {end:>13}"


def _what(op: Operation) -> str:
    words = [op.f, *(repr(part) for part in (op.key, op.value) if part is not None)]
    if op.outcome is Outcome.INFO:
        return " ".join(words) + f" -> unknown{f' ({op.error})' if op.error else ''}"
    if op.result is None and op.f not in ("get", "read"):
        return " ".join(words) + " -> ok"
    return " ".join(words) + f" -> {op.result!r}"
