"""Nodes started in order: each when those it waits for have come as far as it asks. Jobs run to their end on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.errors import StartError
from pytest_coordchaos.runtimes.base import Runtime
from pytest_coordchaos.system.model import Node, System
from pytest_coordchaos.system.readiness import NodeProbe
from pytest_coordchaos.system.recipe import After
from pytest_coordchaos.system.waiting import log_tail, wait_each_ready

__all__ = ["launch_all"]

_LOOK_S = 0.02


async def launch_all(
    system: System,
    launch: Callable[[str], Awaitable[None]],
    runtime: Runtime,
    probe: Callable[[str], NodeProbe],
    clock: Clock,
) -> None:
    """Start every node and job; nodes that wait for nobody start side by side. Returns when all have been started.

    Args:
        system: Whose nodes.
        launch: Starts one.
        runtime: Where they run.
        probe: What a readiness condition asks.
        clock: Time.

    Raises:
        StartError: A program cannot be run, somebody waited for was not ready in time, or a job failed.
    """
    start = _Start(system, launch, runtime, probe, clock)
    tasks = [asyncio.ensure_future(start.one(node)) for node in system.everyone]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Start:
    """One start of a whole system."""

    def __init__(
        self,
        system: System,
        launch: Callable[[str], Awaitable[None]],
        runtime: Runtime,
        probe: Callable[[str], NodeProbe],
        clock: Clock,
    ) -> None:
        self._system = system
        self._launch = launch
        self._runtime = runtime
        self._probe = probe
        self._clock = clock
        self._jobs = {job.name for job in system.jobs}
        self._started = {node.name: asyncio.Event() for node in system.everyone}
        self._ended = {name: asyncio.Event() for name in self._jobs}

    async def one(self, node: Node) -> None:
        for other, after in node.recipe.after.items() if node.recipe else ():
            await self._reached(other, after)
        await self._launch(node.name)
        self._started[node.name].set()
        if node.name in self._jobs:
            await self._to_its_end(node.name)

    async def _reached(self, other: str, after: After) -> None:
        await self._started[other].wait()
        if after is After.COMPLETED:
            await self._ended[other].wait()
        ready = self._system.ready_of(other)
        if after is After.HEALTHY and ready is not None:
            await wait_each_ready([(ready, self._probe(other))], self._runtime, self._clock, self._system.ready_timeout_s)

    async def _to_its_end(self, job: str) -> None:
        deadline_ns = self._clock.now_ns() + int(self._system.ready_timeout_s * 1e9)
        while (status := self._runtime.exit_status(job)) is None:
            if self._clock.now_ns() >= deadline_ns:
                raise self._failed(job, f"did not end within {self._system.ready_timeout_s:g} s")
            await self._clock.sleep(_LOOK_S)
        if status:
            raise self._failed(job, f"ended with {f'signal {-status}' if status < 0 else f'exit status {status}'}")
        self._ended[job].set()

    def _failed(self, job: str, what: str) -> StartError:
        waiting = [node.name for node in self._system.everyone if node.recipe and job in node.recipe.after]
        message = f"Job {job}, which {', '.join(waiting) or 'nobody'} waits for, {what}"
        return StartError(f"{message} (command: {self._runtime.command(job)})", log_tail(self._runtime.log(job)))
