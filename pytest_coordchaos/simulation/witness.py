"""A trace for people: one line a step, with the node and the task. Costs memory, so it is kept only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_coordchaos.runtimes.sim.clock import START_NS
from pytest_coordchaos.runtimes.sim.loop import SimLoop
from pytest_coordchaos.runtimes.sim.tasks import SimTask
from pytest_coordchaos.runtimes.sim.trace import Trace

__all__ = ["WitnessLoop"]

_PACKETS = ("send", "datagram")


class WitnessLoop(SimLoop):
    """A simulated loop that remembers which task had which number."""

    def __init__(self) -> None:
        super().__init__(Trace(keep=True))
        self._met: dict[int, tuple[str, str]] = {}

    def create_task(self, coro: Any, **more: Any) -> Any:
        """As the loop does it."""
        task = super().create_task(coro, **more)
        if isinstance(task, SimTask):
            owner = "-" if task.node is None else f"{task.node.name}#{task.node.incarnation}"
            self._met[task.number] = owner, f"{task.get_name()} {getattr(coro, '__qualname__', type(coro).__qualname__)}"
        return task

    def lines(self) -> Iterator[str]:
        """`seconds node event`: seconds of virtual time since the beginning, the node's life as n1#0 (-: the experiment)."""
        lives = {life.number: f"{life.name}#{life.incarnation}" for life in self.network.lives}
        owner = "-"
        for now_ns, name, number in self.trace.records():
            if name == "step":
                owner, task = self._met.get(number, ("-", "?"))
                event = f"step {number} {task}"
            elif name in _PACKETS:
                event = f"{name} {number & 0xFFFF} bytes {number >> 16:08x}"
            else:
                owner = lives.get(number, "-")
                event = f"call {name}"
            yield f"{(now_ns - START_NS) / 1e9:.9f} {owner} {event}"
