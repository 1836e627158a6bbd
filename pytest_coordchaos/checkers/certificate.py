"""A guessed order, proven: legal for the model and no contradiction of real time. Pure. O(n)."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.history.model import Operation

__all__ = ["by_completion", "is_certificate"]


def is_certificate(order: Sequence[Operation], model: Model) -> bool:
    """Whether doing the operations one after another, in this order, explains all they saw.

    An operation may not stand behind one that was invoked only after it had returned.
    """
    latest_invoke_ns = -1
    for op in order:
        if op.return_ns < latest_invoke_ns:
            return False
        latest_invoke_ns = max(latest_invoke_ns, op.invoke_ns)
    state = model.initial
    for op in order:
        legal, state = model.step(state, op)
        if not legal:
            return False
    return True


def by_completion(operations: Sequence[Operation]) -> list[Operation]:
    """The completed ones in the order in which they returned."""
    return sorted(operations, key=lambda op: op.return_ns)
