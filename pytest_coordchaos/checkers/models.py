"""What a correct object does, one operation at a time. Pure.

A model is a small record of functions, as in Porcupine: an initial state and a step. The rest of
the record only makes the search faster; a model with `step` alone is checked too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_coordchaos.history.model import Operation

__all__ = ["Access", "Collapse", "Horizon", "Model", "Recast", "State", "Step"]

State = Hashable
Step = Callable[[Any, Operation], tuple[bool, Any]]
Collapse = Callable[[Any, int], Any]
Recast = Callable[[Operation, int], tuple[Hashable | None, int]]


class Access(NamedTuple):
    """How an operation touches a register.

    Args:
        kind: "read" (sees `expected`), "read-any" (sees anything), "write" (leaves `new`), "cas"
            (sees `expected`, leaves `new`), "mismatch" (saw something else than `expected`),
            "append" (adds `new` at the end).
        expected, new: Frozen values.
    """

    kind: str
    expected: Hashable = None
    new: Hashable = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """What the operations of one object will still look at (checkers' observability reduction).

    Args:
        collapse: `(state, now_ns)` -> the state, or one that stands for all states which no
            operation returning at `now_ns` or later can tell from it.
        dead_is_worst: `DEAD` is no better than any state: all that is legal in it is legal in every
            state, with a result no worse. False where an operation may have seen "another value".
        recast: `(crashed operation, now_ns)` -> what it is alike to from now on (None: its effect can
            help nobody any more), and the last time at which that holds. Depends on the operation's
            signature alone. None: they stay what they are.
    """

    collapse: Collapse
    dead_is_worst: bool = False
    recast: Recast | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A sequential specification.

    Args:
        name: For messages.
        initial: The first state; states must be hashable.
        step: `(state, operation)` -> (legal, next state). For an operation whose outcome is info
            `result` is None and means "unknown". Must depend on nothing else.
        partition: Operation -> the object it is on; objects are checked apart (Herlihy & Wing 1990,
            locality). None: one object.
        observes_only: Operations that never change a state.
        overwrites: Operations that are always legal and whose next state does not depend on the state.
        signature: Operations of equal signature are alike to `step`. None: no two are alike.
        horizon: Operations of one object -> what they look at. None: everything, always.
        access: Operation -> how it touches a register, for models that are registers; None: it is
            none. Serves the near-linear check of registers whose values are unique.
    """

    name: str
    initial: State
    step: Step
    partition: Callable[[Operation], Hashable] | None = None
    observes_only: Callable[[Operation], bool] | None = None
    overwrites: Callable[[Operation], bool] | None = None
    signature: Callable[[Operation], Hashable] | None = None
    horizon: Callable[[Sequence[Operation]], Horizon] | None = None
    access: Callable[[Operation], Access] | None = None
