"""The ordered stages of one direction of one connection, ending in the line that delays for the cluster's faults. Pure."""

from __future__ import annotations

from collections.abc import Callable

from pytest_coordchaos.relay.toxics.base import ABORT, CLOSE, NEVER, Holding, Item, Stage, queue_limit

__all__ = ["Chain", "Line"]


class Line(Holding):
    """The last stage: everything, marks too, goes on `delay_ns` after it came, in order, pipelined.

    Attributes:
        delay_ns: The delay; a change holds for what waits as well, by its own time.
        holding: Nothing goes on, whatever its time.
        closing: A stage before it closes the connection.
        aborting: A stage before it resets the connection.
    """

    __slots__ = ("aborting", "closing", "delay_ns", "holding")

    def __init__(self, delay_ns: int) -> None:
        super().__init__()
        self.closing = self.aborting = self.holding = False
        self.set_delay(delay_ns)

    def set_delay(self, delay_ns: int) -> None:
        """Delay by so much from now on."""
        self.delay_ns = delay_ns
        self.limit = queue_limit(delay_ns)

    def put(self, item: Item, now_ns: int) -> None:
        """Hold an item, and notice what its mark asks for."""
        super().put(item, now_ns)
        self.closing = self.closing or item[1] is CLOSE
        self.aborting = self.aborting or item[1] is ABORT

    def due_ns(self) -> int:
        """When the oldest item may go."""
        return self.queue[0][0] + self.delay_ns if self.queue and not self.holding else NEVER

    def flush(self) -> list[Item]:
        """Everything, in order; what a mark asked for is forgotten with it."""
        self.closing = self.aborting = False
        return super().flush()


class Chain:
    """Stages in order, and the line at their end.

    Attributes:
        stages: All of them; the last one is the line.
        line: The line.
        front: How many stages stand before all that are numbered: they see the bytes as the sender wrote them.
    """

    __slots__ = ("front", "line", "stages")

    def __init__(self, delay_ns: int = 0) -> None:
        self.front = 0
        self.line = Line(delay_ns)
        self.stages: list[Stage] = [self.line]

    @property
    def idle(self) -> bool:
        """It does nothing and holds nothing: bytes may go past it."""
        line = self.line
        return not line.queue and not line.delay_ns and not line.holding and len(self.stages) == 1

    @property
    def full(self) -> bool:
        """The sender should be stopped."""
        return self.stages[0].full

    def put(self, item: Item, now_ns: int) -> None:
        """Take an item in; `advance` moves it."""
        self.stages[0].put(item, now_ns)

    def advance(self, now_ns: int, room: Callable[[], bool], out: Callable[[Item], None]) -> None:
        """Move what is due from stage to stage, and out while there is room."""
        moved = True
        while moved:
            moved = False
            for stage, after in zip(self.stages[:-1], self.stages[1:], strict=True):
                moved = _move(stage, after, now_ns) or moved
            line = self.line
            while room() and (item := line.take(now_ns)) is not None:
                moved = len(self.stages) > 1
                out(item)

    def due_ns(self, room: bool) -> int:
        """When `advance` will have something to move, if nothing comes before that; NEVER: then only."""
        due = self.line.due_ns() if room else NEVER
        for stage, after in zip(self.stages[:-1], self.stages[1:], strict=True):
            if not after.full or not stage.needs_room:
                due = min(due, stage.due_ns())
        return due

    def insert(self, index: int, stage: Stage) -> None:
        """Add a stage before the one at `index` now; what is held beyond it does not go through it."""
        self.stages.insert(min(self.front + index, len(self.stages) - 1), stage)

    def insert_front(self, stage: Stage) -> None:
        """Add a stage before all others."""
        self.stages.insert(0, stage)
        self.front += 1

    def remove(self, stage: Stage, now_ns: int, *, for_good: bool = True) -> None:
        """Take a stage out; what it gives up goes to the next one. Not `for_good`: it may come back, and just lets go."""
        index = self.stages.index(stage)
        after = self.stages[index + 1]
        del self.stages[index]
        self.front -= index < self.front
        for item in stage.remove(now_ns) if for_good else stage.flush():
            after.put(item, now_ns)

    def discard(self) -> bool:
        """Throw away all that is held; returns whether there was anything."""
        held = [bool(stage.flush()) for stage in self.stages]
        return any(held)


def _move(stage: Stage, after: Stage, now_ns: int) -> bool:
    moved = False
    while not (stage.needs_room and after.full) and (item := stage.take(now_ns)) is not None:
        after.put(item, now_ns)
        moved = True
    return moved
