"""A simulated node as the kernel sees it: which life runs now, whether it may run, and what its clock says."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_coordchaos.runtimes.sim.clock import NodeClock

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.files import FileTree
    from pytest_coordchaos.runtimes.sim.handles import SimHandle

__all__ = ["NODE", "SimNode"]


class SimNode:
    """One life of one node. Everything it started carries it in its context.

    A node that is paused or dead is *halted*: its callbacks are put aside, with everything they refer to. Those of a
    paused node run when it goes on; those of a dead one never: no `finally`, no `__aexit__`, no finalizer.

    Attributes:
        name, incarnation: Which node, and which of its lives, from 0.
        number: A small number for traces, unique in its simulation.
        clock: What the node takes for the time. It belongs to the machine: later lives have the same.
        halted: Its callbacks are put aside.
        dead: It will never run again.
        parked: Callbacks put aside, in order.
        kept: What a dead life left: its tasks and connections, so that none of them is ever collected.
        output: What it printed.
        modules: Modules that it has a copy of its own of.
        files: Where `open` and `os` lead it; None: to the real files.
    """

    __slots__ = ("clock", "dead", "files", "halted", "incarnation", "kept", "modules", "name", "number", "output", "parked")

    def __init__(self, name: str, incarnation: int, number: int, clock: NodeClock) -> None:
        self.name = name
        self.incarnation = incarnation
        self.number = number
        self.clock = clock
        self.halted = self.dead = False
        self.parked: deque[SimHandle] = deque()
        self.kept: list[object] = []
        self.output: list[str] = []
        self.modules: dict[str, ModuleType] = {}
        self.files: FileTree | None = None

    def __repr__(self) -> str:
        return f"<SimNode {self.name}#{self.incarnation}>"


NODE: ContextVar[SimNode | None] = ContextVar("coordchaos-node", default=None)
"""The node that runs now; None: the experiment, its clients and its nemesis."""
