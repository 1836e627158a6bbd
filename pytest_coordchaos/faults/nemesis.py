"""Carries out a plan on a cluster: waits, resolves roles, injects, undoes, and records what happened.

The name and the part it plays are Jepsen's. Nothing here knows how a fault is done: the target does.
Every fault that was begun is undone, also when the run is cancelled or another event goes wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.errors import FaultError, RelayError
from pytest_coordchaos.faults.model import Fault, MachineFault, Pause
from pytest_coordchaos.faults.plan import Plan, PlanEvent
from pytest_coordchaos.faults.resolve import describe
from pytest_coordchaos.faults.steps import STEPS, Kill, LosePower, Step
from pytest_coordchaos.faults.triggers import Trigger
from pytest_coordchaos.faults.words import parse
from pytest_coordchaos.run import RunFault

__all__ = ["AppliedFault", "Hold", "NemesisTarget", "carry_out"]

_ASK_AGAIN_S = 0.05


class AppliedFault(Protocol):
    """What a target returns for a fault it has put in force."""

    @property
    def verified(self) -> bool:
        """Its probes proved that it took effect."""
        ...

    async def undo(self) -> None:
        """Take it back. Idempotent."""
        ...


class Hold(Protocol):
    """What set off a trigger, held until the fault is in force."""

    async def release(self) -> None:
        """Let it go on. Idempotent."""
        ...


class NemesisTarget(Protocol):
    """The cluster as the nemesis sees it (`LiveCluster` is one)."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node names, in order."""
        ...

    async def apply(self, fault: Fault) -> AppliedFault:
        """Put a fault in force and prove it."""
        ...

    async def kill(self, node: str) -> object:
        """SIGKILL a node."""
        ...

    async def lose_power(self, node: str) -> AppliedFault:
        """SIGKILL a node and take from it what it did not sync; undoing starts it again."""
        ...

    async def restart(self, node: str) -> None:
        """Start a dead node again."""
        ...

    async def when(self, trigger: Trigger, timeout_s: float) -> Hold | None:
        """Wait for a trigger, and hold what set it off where that can be; None: it did not come."""
        ...

    async def role(self, name: str) -> str | None:
        """Who holds the role now; None: nobody knows."""
        ...

    def state(self, node: str) -> str:
        """ "running", "paused" or "dead"."""
        ...


async def carry_out(
    plan: Plan,
    target: NemesisTarget,
    clock: Clock,
    started_ns: int,
    *,
    record: Callable[[RunFault], None] | None = None,
) -> tuple[RunFault, ...]:
    """Carry out every event of a plan.

    An event begins at its time, but not before those that should have ended by then are undone: a slow
    restart never makes two planned-apart faults overlap. Events that overlap in the plan do overlap.

    Args:
        plan: What to do.
        target: Whom to do it to.
        clock: Times of the plan count on it, from `started_ns`.
        started_ns: When the run began.
        record: Told of each event when it is over, also of those a cancelled run cut short.

    Returns:
        One record per event, in the plan's order. `verified` is False where a probe did not see the
        effect, the role had no holder, or the target refused; `note` says which.

    Raises:
        CoordChaosError: A fault could not be undone (a node did not start again), or the plan does not
            fit the target. Every other fault is undone first.
    """
    tasks: list[asyncio.Task[RunFault]] = []
    try:
        async with asyncio.TaskGroup() as events:
            for event in plan.events:
                before = [task for task, earlier in zip(tasks, plan.events, strict=False) if earlier.end_s <= event.start_s]
                one = _Event(event, target, clock, started_ns, record)
                tasks.append(events.create_task(one.perform(before), name=f"nemesis {event.id}"))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return tuple(task.result() for task in tasks)


@dataclass(slots=True)
class _Event:
    """One event on its way: what is in force, and how to take it back."""

    event: PlanEvent
    target: NemesisTarget
    clock: Clock
    started_ns: int
    record: Callable[[RunFault], None] | None
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undos: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    verified: bool = True
    begun_ns: int = 0
    end_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.end_s = self.event.start_s + self.event.duration_s

    async def perform(self, before: list[asyncio.Task[RunFault]]) -> RunFault:
        """Wait for the time, inject, hold, undo."""
        if before:
            await asyncio.wait(before)
        await self._sleep_until(self.event.start_s)
        self.begun_ns = self.clock.now_ns()
        try:
            if await self._begun():
                await self._sleep_until(self.end_s)
        finally:
            try:
                await _surely(self._undo())
            finally:
                fault = self._as_recorded()
                if self.record is not None:
                    self.record(fault)
        return fault

    async def _begun(self) -> bool:
        """Wait for the trigger, if there is one, and inject; False: it did not come, or there is nobody to hit."""
        trigger = self.event.trigger
        if trigger is None:
            return await self._injected()
        hold = await self.target.when(trigger, self.event.wait_s)
        if hold is None:
            self._not_done(f"'{trigger}' did not come within {self.event.wait_s:.1f} s")
            return False
        try:
            self.end_s = (self.clock.now_ns() - self.started_ns) / 1e9 + self.event.duration_s
            return await self._injected()
        finally:
            await _surely(hold.release())

    async def _injected(self) -> bool:
        hit = await self._whom()
        if hit is None:
            return False
        self.begun_ns = self.clock.now_ns()
        for step in STEPS[parse(self.event.word).verb](self.event, hit, self.target.nodes):
            await _surely(self._inject(step))
        return True

    async def _whom(self) -> tuple[str, ...] | None:
        """The nodes to hit. A role that nobody holds is asked for again until the event's time is over."""
        role = self.event.aim.role
        if role is None:
            return self.event.aim.nodes
        while (holder := await self.target.role(role)) is None:
            left_s = self._until(self.end_s)
            if left_s <= 0:
                asked_s = (self.clock.now_ns() - self.begun_ns) / 1e9
                self._not_done(f"nobody held the role {role} for {asked_s:.1f} s")
                return None
            await self.clock.sleep(min(_ASK_AGAIN_S, left_s))
        self.notes.append(f"{role} was {holder}")
        return (holder,)

    async def _inject(self, step: Step) -> None:
        self.words.append(step.words if isinstance(step, Kill | LosePower) else describe(step))
        if isinstance(step, Kill | LosePower | Pause | MachineFault) and self.target.state(step.node) == "dead":
            self._not_done(f"{step.node} was dead already")
            return
        try:
            if isinstance(step, Kill):
                await self._kill(step.node)
            elif isinstance(step, LosePower):
                self._proven(await self.target.lose_power(step.node))
            else:
                await self._apply(step)
        except (FaultError, RelayError, OSError) as error:
            self._not_done(str(error).partition("\n")[0])

    async def _kill(self, node: str) -> None:
        self.undos.append(lambda: self._restart(node))
        await self.target.kill(node)
        if self.target.state(node) != "dead":
            self._not_done(f"{node} is still alive after its kill")

    async def _restart(self, node: str) -> None:
        if self.target.state(node) == "dead":  # else somebody healed the cluster meanwhile
            await self.target.restart(node)

    async def _apply(self, fault: Fault) -> None:
        self._proven(await self.target.apply(fault))
        if isinstance(fault, Pause) and self.target.state(fault.node) != "paused":
            self._not_done(f"{fault.node} is not paused")

    def _proven(self, applied: AppliedFault) -> None:
        self.undos.append(applied.undo)
        if not applied.verified:
            self._not_done(f"its probe did not see it: {_unseen(applied)}")

    async def _undo(self) -> None:
        """Take everything back, the last first; what goes wrong is raised when all was tried."""
        errors: list[Exception] = []
        while self.undos:
            try:
                await self.undos.pop()()
            except Exception as error:
                errors.append(error)
        if errors:
            self.notes += [f"undo failed: {str(error).partition(chr(10))[0]}" for error in errors]
            raise errors[0]

    def _not_done(self, why: str) -> None:
        self.verified = False
        self.notes.append(why)

    def _as_recorded(self) -> RunFault:
        return RunFault(
            id=self.event.id,
            words="; ".join(self.words) or self.event.word,
            start_ns=self.begun_ns,
            end_ns=self.clock.now_ns(),
            verified=self.verified,
            note="; ".join(self.notes),
        )

    def _until(self, at_s: float) -> float:
        return (self.started_ns + at_s * 1e9 - self.clock.now_ns()) / 1e9

    async def _sleep_until(self, at_s: float) -> None:
        left_s = self._until(at_s)
        if left_s > 0:
            await self.clock.sleep(left_s)


def _unseen(applied: AppliedFault) -> str:
    """What the failed probes saw, where the target says so."""
    probes = getattr(applied, "probes", ())
    seen = [str(probe.observed) for probe in probes if not probe.ok]
    return "; ".join(seen[:2]) + (f"; and {len(seen) - 2} more" if len(seen) > 2 else "") if seen else "no reason was given"


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end, whatever is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at, or the loop would complain
        raise cancelled
    task.result()
