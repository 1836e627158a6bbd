"""Drives a workload: concurrent clients that perform requests and record what came of them.

Operation semantics are Jepsen's: ok happened, fail surely did not, info nobody knows; a client whose
operation ended in info goes on as a new process. With a rate the loop is open: latency runs from the
intended start, so a system that stalls cannot hide it (Tene, "How not to measure latency").
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.history.model import Outcome
from pytest_coordchaos.workloads.calling import Caller
from pytest_coordchaos.workloads.model import Client, Request, Workload
from pytest_coordchaos.workloads.performing import Recording, perform

__all__ = ["Driven", "drive"]

_BACKOFF_S, _BACKOFF_MAX_S = 0.02, 0.2
_FAILS_IN_A_ROW = 5
"""So many refusals, and a client tries another node: this one may be of no use to it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What the driver itself can say of a run.

    Args:
        invoked: Operations invoked.
        unsent: Open loop: intended starts within the time limit that no client was free to take.
            Latency percentiles cannot contain them; a report should say so.
    """

    invoked: int
    unsent: int = 0


async def drive(
    workload: Workload,
    client: Client,
    cluster: Any,
    recorder: Recording,
    *,
    rng: random.Random,
    clock: Clock,
    seconds: float,
    nodes: Sequence[str],
) -> Driven:
    """Perform a workload until its time or its requests are over; every operation it began has ended then.

    Clients connect to the nodes in turn. A node that cannot be reached costs a short wait and no
    operation: requests are taken only over an open connection. Clients end at most `workload.timeout_s`
    after the time limit. Cancelled, it records operations on their way as info.

    Args:
        workload: What to do.
        client: How; its plain functions run in threads.
        cluster: Handed to `client.connect`.
        recorder: Told of every operation.
        rng: The one source of requests and of the schedule.
        clock: Time limit, schedule and waits count on it.
        seconds: The time limit.
        nodes: Nodes to connect to.
    """
    demand = _Demand.of(workload, rng, clock.now_ns(), seconds)
    clients = [_Worker(number, workload, client, cluster, recorder, clock, demand, nodes) for number in range(workload.clients)]
    try:
        async with asyncio.TaskGroup() as group:
            for one in clients:
                group.create_task(one.work(), name=f"client {one.number}")
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return Driven(invoked=demand.taken, unsent=demand.unsent())


@dataclass(slots=True)
class _Demand:
    """The one stream of requests with their intended starts, handed out in order of demand."""

    requests: Iterator[Request]
    starts: Iterator[int] | None
    end_ns: int
    taken: int = 0

    @classmethod
    def of(cls, workload: Workload, rng: random.Random, now_ns: int, seconds: float) -> _Demand:
        # Two sources, so that what is asked does not depend on when: one stream per seed, at any rate.
        requests = workload.requests(random.Random(int(rng.random() * 2**53)))
        schedule = random.Random(int(rng.random() * 2**53))
        starts = None if workload.rate_per_s is None else _poisson(schedule, workload.rate_per_s, now_ns)
        return cls(islice(requests, workload.operations), starts, now_ns + int(seconds * 1e9))

    def next(self, now_ns: int) -> tuple[int, Request] | None:
        """The next intended start and request; None when time or requests are over."""
        start_ns = now_ns if self.starts is None else next(self.starts)
        request = next(self.requests, None) if max(start_ns, now_ns) < self.end_ns else None
        if request is None:
            self.starts = None if self.starts is None else _put_back(start_ns, self.starts)
            return None
        self.taken += 1
        return start_ns, request

    def unsent(self) -> int:
        """Intended starts before the end that nobody took."""
        count = 0
        while self.starts is not None and next(self.starts) < self.end_ns and next(self.requests, None) is not None:
            count += 1
        return count


@dataclass(slots=True)
class _Worker:
    """One client: a connection at a time, an operation at a time."""

    number: int
    workload: Workload
    client: Client
    cluster: Any
    recorder: Recording
    clock: Clock
    demand: _Demand
    nodes: Sequence[str]
    turn: int = field(init=False)
    process: int = field(init=False)
    caller: Caller = field(init=False)
    connection: Any = None
    connected: bool = False
    misses: int = 0
    fails: int = 0

    def __post_init__(self) -> None:
        self.turn = self.number
        self.process = self.recorder.next_process()
        self.caller = self._new_caller()

    @property
    def node(self) -> str:
        """The node this client talks to, or tries to."""
        return self.nodes[self.turn % len(self.nodes)]

    async def work(self) -> None:
        """Connect, perform, and again, until the demand is over."""
        try:
            while await self._connect():
                now_ns = self.clock.now_ns()
                task = self.demand.next(now_ns)
                if task is None:
                    break
                if task[0] > now_ns:
                    await self.clock.sleep((task[0] - now_ns) / 1e9)
                await self._go_on(await self._perform(*task))
        finally:
            await self._leave()

    async def _go_on(self, outcome: Outcome) -> None:
        """Draw the consequences of an outcome for process, connection and pace."""
        if outcome is Outcome.INFO:
            self.process = self.recorder.next_process()
        self.fails = self.fails + 1 if outcome is Outcome.FAIL else 0
        if outcome is Outcome.OK:
            self.misses = 0
        if outcome is Outcome.INFO or self.fails >= _FAILS_IN_A_ROW:
            self.fails = 0
            await self._leave()
            await self._move_on()
        else:
            await asyncio.sleep(0)  # a client that never waits must not keep the others from working

    async def _connect(self) -> bool:
        """Have a connection; False when the time is over first."""
        while not self.connected:
            left_s = (self.demand.end_ns - self.clock.now_ns()) / 1e9
            if left_s <= 0:
                return False
            try:
                async with asyncio.timeout(min(self.workload.timeout_s, left_s)):
                    self.connection = await self.caller.call(self.client.connect, self.cluster, self.node)
                self.connected = True
            except Exception:  # nothing was asked yet, so nothing is recorded: try the next node
                self._forget()
                await self._move_on()
        return True

    async def _move_on(self) -> None:
        """To the next node, after a wait that grows while nothing is answered.

        Without it a dead node behind a listening relay would leave thousands of operations open.
        """
        self.turn += 1
        self.misses += 1
        left_s = (self.demand.end_ns - self.clock.now_ns()) / 1e9
        if left_s > 0:
            await self.clock.sleep(min(_BACKOFF_S * 2 ** min(self.misses - 1, 10), _BACKOFF_MAX_S, left_s))

    async def _perform(self, intended_ns: int, request: Request) -> Outcome:
        """One operation from invocation to its end."""
        outcome, _ = await perform(
            request,
            client=self.client,
            connection=self.connection,
            caller=self.caller,
            recorder=self.recorder,
            process=self.process,
            node=self.node,
            timeout_s=self.workload.timeout_s,
            intended_ns=None if self.demand.starts is None else intended_ns,
        )
        return outcome

    async def _leave(self) -> None:
        """Close the connection as well as it can be closed within the client's time."""
        if not self.connected:
            self._forget()
            return
        connection, caller = self.connection, self.caller
        self._forget(release=False)
        try:
            if self.client.close is not None:
                left_s = self.workload.timeout_s - max(0.0, (self.clock.now_ns() - self.demand.end_ns) / 1e9)
                async with asyncio.timeout(max(0.0, min(_BACKOFF_MAX_S, left_s))):
                    await caller.call(self.client.close, connection)
        except Exception:
            pass  # a connection that will not close is no statement about the system
        finally:
            caller.release()

    def _forget(self, *, release: bool = True) -> None:
        """The next connection gets a thread of its own: this one may be stuck in a call."""
        if release:
            self.caller.release()
        self.connection, self.connected, self.caller = None, False, self._new_caller()

    def _new_caller(self) -> Caller:
        return Caller(f"coordchaos-client-{self.number}")


def _poisson(rng: random.Random, rate_per_s: float, start_ns: int) -> Iterator[int]:
    """Intended starts with exponential gaps: independent users, not a metronome."""
    at_s = 0.0
    while True:
        at_s -= math.log(1.0 - rng.random()) / rate_per_s
        yield start_ns + int(at_s * 1e9)


def _put_back(first: int, rest: Iterator[int]) -> Iterator[int]:
    yield first
    yield from rest
