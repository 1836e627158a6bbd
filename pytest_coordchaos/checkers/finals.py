"""The last words of nodes: what each answered when everything was over (`Workload.final`). Pure."""

from __future__ import annotations

from pytest_coordchaos.history.model import History, Operation, Outcome

__all__ = ["last_answers"]


def last_answers(history: History, f: str) -> dict[str, Operation]:
    """Node -> its last answer to `f`; a node that never answered is not in it."""
    return {op.node: op for op in history if op.f == f and op.outcome is Outcome.OK and op.node is not None}
