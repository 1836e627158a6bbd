"""The spine: start → drive → inject → heal → settle → ask → check."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.clock import Clock
from pytest_coordchaos.cost.counting import IdleRate, idle_rate
from pytest_coordchaos.cost.figures import figures
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import CoordChaosError, UsageError
from pytest_coordchaos.faults.nemesis import carry_out
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.history.model import History
from pytest_coordchaos.judging import Evidence, judge, left_out
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.run import Run, RunFault, TestRequest
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.simulation.remote import RemoteCluster
from pytest_coordchaos.workloads.driver import Driven, drive
from pytest_coordchaos.workloads.final import ask_nodes
from pytest_coordchaos.workloads.model import Workload

__all__ = ["Experiment", "Script", "by_hand", "measure_idle", "write_up"]

Script = Callable[[LiveCluster, random.Random], Coroutine[Any, Any, None]]
"""Verbs on a cluster beside its load, in an order of one's own: `async def script(cluster, rng)`."""

Observed = LiveCluster | RemoteCluster
"""A cluster as what is written of it needs it."""

_IDLE_S = 1.0
_SETTLE_S = 15.0
_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One workload against one plan on one cluster.

    Args:
        seed: Decides the requests; the plan was drawn from it too.
        known: Invariants by name.
        script: Runs beside the load; the run goes on until both are over. Faults it left in force are undone then.
    """

    cluster: LiveCluster
    workload: Workload
    plan: Plan
    request: TestRequest
    seed: int
    clock: Clock
    known: Mapping[str, Invariant]
    script: Script | None = None

    async def perform(self) -> Run:
        """Drive and inject side by side, let the cluster settle, then check.

        Raises:
            UsageError: The System has no client.
        """
        since, start_ns = await self.cluster.relay.mark(), self.clock.now_ns()
        standing = by_hand(self.cluster, start_ns, start_ns)
        planned, driven = await self._drive_and_inject(start_ns)
        if self.script is not None:
            await self.cluster.heal()
            standing = by_hand(self.cluster, start_ns, self.clock.now_ns())
        notes = (*_unsent(driven), *await self._settle())
        ledger = await self.cluster.ledger(since)
        load = _since(self.cluster.recorder.all(), start_ns)
        notes = (*notes, *await self._ask_nodes())
        everything = self.cluster.recorder.all()
        evidence = Evidence(
            system=self.cluster.system,
            whole=everything,
            window=load,
            finals=History(_since(everything, start_ns).operations[len(load) :]),
            start_ns=start_ns,
            ledger=ledger,
            faults=(*planned, *standing),
            idle=await measure_idle(self.cluster, self.request, self.clock, ledger),
        )
        return await write_up(self.cluster, self.request, self.workload, evidence, known=self.known, notes=notes, seed=self.seed)

    async def _drive_and_inject(self, start_ns: int) -> tuple[tuple[RunFault, ...], Driven]:
        client = self.workload.client or self.cluster.system.client
        if client is None:
            name = self.cluster.system.name
            raise UsageError(f"run({self.workload.name!r}): System({name!r}) has no client; give System(client=Client(…))")
        load = drive(
            self.workload,
            client,
            self.cluster,
            self.cluster.recorder,
            rng=random.Random(f"{self.seed}:requests"),
            clock=self.clock,
            seconds=self.plan.seconds,
            nodes=self.cluster.nodes,
        )
        try:
            async with asyncio.TaskGroup() as both:
                driving = both.create_task(load)
                injecting = both.create_task(carry_out(self.plan, self.cluster, self.clock, start_ns))
                if self.script is not None:
                    both.create_task(self.script(self.cluster, random.Random(f"{self.seed}:script")))
        except BaseExceptionGroup as group:
            raise _first(group) from None  # one clear sentence, not a tree of groups
        return injecting.result(), driving.result()

    async def _settle(self) -> tuple[str, ...]:
        """After a plan or a script the cluster must come back by itself; say so when it does not."""
        if not (self.plan.events or self.script) or any(handle.end_ns is None for handle in self.cluster.handles):
            return ()
        try:
            await self.cluster.wait_healed(_SETTLE_S)
        except CoordChaosError as error:
            return (f"the cluster did not heal within {_SETTLE_S:g} s after the last fault: {str(error).splitlines()[0]}",)
        return ()

    async def _ask_nodes(self) -> tuple[str, ...]:
        """The workload's final questions to every node that lives; say so when the answers never satisfied."""
        final, client = self.workload.final, self.workload.client or self.cluster.system.client
        if final is None or client is None:
            return ()
        if any(handle.end_ns is None for handle in self.cluster.handles):
            final = replace(final, until=None, within_s=0.0)  # one answer of whoever can; agreement is for later
        living = [node for node in self.cluster.nodes if self.cluster.state(node) is not NodeState.DEAD]
        satisfied = await ask_nodes(
            final,
            client,
            self.cluster,
            self.cluster.recorder,
            clock=self.clock,
            nodes=living,
            timeout_s=self.workload.timeout_s,
        )
        if satisfied or not final.within_s:
            return ()
        return (f"the nodes' last answers did not satisfy the workload within {final.within_s:g} s",)


async def measure_idle(cluster: Observed, request: TestRequest, clock: Clock, ledger: Ledger) -> IdleRate | None:
    """Where nodes spoke on a port that declares no background classes, and a budget asks: the rates of a window without load."""
    undeclared = {port.name for port in cluster.system.all_ports if port.background is None}
    spoken = {total.link.port for total in ledger.between(cluster.nodes).totals if total.offered_bytes}
    if not request.budgets or not undeclared & spoken:
        return None
    since = await cluster.relay.mark()
    await clock.sleep(_IDLE_S)
    return idle_rate(await cluster.ledger(since), cluster.system.all_ports, cluster.nodes)


def by_hand(cluster: Observed, start_ns: int, end_ns: int) -> tuple[RunFault, ...]:
    """The faults in force at some time of a window, as the cluster's handles tell."""
    return tuple(
        RunFault(
            id="by hand",
            words=handle.words,
            start_ns=handle.start_ns,
            end_ns=handle.end_ns,
            verified=handle.verified,
            note="; ".join(probe.observed for probe in handle.probes if not probe.ok),
        )
        for handle in cluster.handles
        if handle.start_ns <= end_ns and (handle.end_ns is None or handle.end_ns >= start_ns)
    )


async def write_up(
    cluster: Observed,
    request: TestRequest,
    workload: Workload | None,
    evidence: Evidence,
    *,
    known: Mapping[str, Invariant],
    notes: tuple[str, ...] = (),
    seed: int,
) -> Run:
    """Judge the evidence (in a worker thread: checking is work) and make the Run."""
    verdicts = await asyncio.to_thread(judge, request, workload, evidence, known)
    ledger = evidence.ledger
    cpu_s = {node: round(await cluster.runtime.cpu_seconds(node), 3) for node in cluster.nodes}
    told = cluster.relay.notes(evidence.start_ns)
    numbers = replace(figures(evidence.window, ledger, cluster.system.all_ports, cluster.nodes, evidence.idle), cpu_s=cpu_s)
    return Run(
        test=request.test,
        system=cluster.system.name,
        runtime=cluster.runtime.name,
        runtime_reason=cluster.runtime_reason,
        proxy=cluster.relay.proxy,
        nodes=len(cluster.nodes),
        workload=workload.name if workload else None,
        seed=seed,
        start_ns=evidence.start_ns,
        end_ns=ledger.end_ns,
        faults=tuple(evidence.faults),
        history=History((*evidence.window, *evidence.finals)),
        context=History(tuple(op for op in evidence.whole if op.invoke_ns < evidence.start_ns)),
        ledger=ledger,
        figures=numbers,
        verdicts=verdicts,
        notes=(
            *notes,
            *left_out(request, workload, evidence, known),
            *_deaths(cluster),
            *ledger.bypasses,
            *([ledger.note] if ledger.note else []),
            *told,
        ),
        logs={node: tuple(cluster.runtime.log(node).splitlines()[-_LOG_LINES:]) for node in cluster.nodes},
        reproduce=request.reproduce,
        directory=str(cluster.directory),
    )


def _since(history: History, start_ns: int) -> History:
    return History(tuple(op for op in history if op.invoke_ns >= start_ns))


def _first(error: BaseException) -> BaseException:
    """The first exception inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _unsent(driven: Driven) -> tuple[str, ...]:
    """A schedule that the clients could not keep is not in the percentiles; say so."""
    return (f"{driven.unsent} operations of the schedule were never sent: no client was free",) if driven.unsent else ()


def _deaths(cluster: Observed) -> tuple[str, ...]:
    """Nodes that nobody killed and that are dead all the same."""
    killed = {handle.words for handle in cluster.handles if handle.end_ns is None}
    return tuple(
        f"{node} exited by itself with status {status}"
        for node in cluster.nodes
        if (status := cluster.runtime.exit_status(node)) is not None and not {f"kill {node}", f"power-loss {node}"} & killed
    )
