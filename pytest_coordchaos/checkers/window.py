"""Linearizability of one test's window on a cluster that lives longer than the test. Pure.

What happened before the window is context: its values, and its operations that are still open, may
be seen inside. Only objects touched in the window count, and an object whose past was broken
already is unknown: this test is not to blame.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_coordchaos.checkers.linearizable import Budget, Finding, examine, objects_of
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.history.model import INFINITY_NS, Operation, Outcome
from pytest_coordchaos.verdicts import Status

__all__ = ["WindowFinding", "examine_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFinding:
    """What can be said of a window.

    Args:
        finding: Of the objects touched in the window, the broken ones left out.
        broken: Objects that were violated before the window began, or whose past could not be checked in time.
    """

    finding: Finding
    broken: tuple[Hashable, ...] = ()


def examine_window(operations: Iterable[Operation], start_ns: int, model: Model, budget: Budget) -> WindowFinding:
    """Check the objects touched by operations invoked at or after `start_ns`, with all that came before as context."""
    objects = {
        key: of_key for key, of_key in objects_of(operations, model).items() if any(op.invoke_ns >= start_ns for op in of_key)
    }
    broken: list[Hashable] = []
    while True:
        finding = examine(_all(objects), model, budget)
        if finding.status is not Status.VIOLATED:
            return WindowFinding(finding=finding, broken=tuple(broken))
        past = _before(objects[finding.key], start_ns)
        if examine(past, model, budget).status is Status.HELD:
            return WindowFinding(finding=finding, broken=tuple(broken))
        broken.append(finding.key)
        del objects[finding.key]


def _all(objects: Mapping[Hashable, Sequence[Operation]]) -> list[Operation]:
    return [op for of_key in objects.values() for op in of_key]


def _before(operations: Iterable[Operation], start_ns: int) -> list[Operation]:
    """The past as it stood when the window began: what had not returned yet was open."""
    return [
        op if op.return_ns < start_ns else replace(op, outcome=Outcome.INFO, result=None, return_ns=INFINITY_NS)
        for op in operations
        if op.invoke_ns < start_ns
    ]
