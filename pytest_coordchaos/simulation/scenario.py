"""What is tried with many seeds, and what one seed gave. Data, but for `perform`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import CapabilityError, CoordChaosError, UsageError
from pytest_coordchaos.experiment import Experiment, Script
from pytest_coordchaos.faults import plan as plans
from pytest_coordchaos.faults.model import Partition
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.faults.swarm import some_of
from pytest_coordchaos.history.model import Outcome
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.run import Run, RunFault, TestRequest
from pytest_coordchaos.runtimes.sim import patches
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.system.model import CLIENTS, System
from pytest_coordchaos.verdicts import Status, Verdict
from pytest_coordchaos.workloads.driver import drive
from pytest_coordchaos.workloads.model import Client, Workload

__all__ = ["Progress", "Scenario", "SeedResult", "check_client", "partitions_of", "perform", "perform_one", "words_of"]

_LIMIT_S = 600.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a scenario ends: the live nodes are healed, the rest stays cut off for ever, and they must go on.

    Args:
        within_s: Virtual seconds within which a new operation must succeed.
        nodes: The nodes that must be enough; None: as the System declares (`System(live=…)`).
    """

    within_s: float = 10.0
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One experiment, but for its seed.

    Args:
        system: What runs.
        workload: What is asked of it.
        faults: Fault words; each seed draws its own plan.
        swarm: Each seed draws some of the words; False: every seed tries all of them.
        seconds: Virtual seconds of load.
        request: Invariants and budgets to judge by.
        plan: Carried out instead of drawn ones.
        script: Runs beside the load, and nothing is drawn.
        progress: How it ends; None: healed.
        model: How machines behave.
        known: Invariants beside the built-in ones.
    """

    system: System
    workload: Workload
    faults: tuple[str, ...] = ()
    swarm: bool = True
    seconds: float = 5.0
    request: TestRequest = field(default_factory=lambda: TestRequest(test="", seed=0))
    plan: Plan | None = None
    script: Script | None = None
    progress: Progress | None = None
    model: Model = field(default_factory=Model)
    known: Mapping[str, Invariant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """What one seed gave: a line of a campaign.

    Args:
        seed: The seed.
        verdict: "held", "violated" or "unknown".
        trace_hash: Equal hashes are the same run.
        operations: Operations invoked.
        virtual_s, wall_s: How long it took, inside and outside.
        faults: Words of the faults carried out -> how often.
        partitions: Groups of the partitions carried out.
        summary: The first verdict that is not held; "" when all are.
    """

    seed: int
    verdict: str
    trace_hash: str
    operations: int
    virtual_s: float
    wall_s: float
    faults: Mapping[str, int]
    partitions: tuple[tuple[tuple[str, ...], ...], ...] = ()
    summary: str = ""

    def as_plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def perform(scenario: Scenario, seed: int, *, keep_trace: bool = False) -> tuple[SeedResult, Run | None, tuple[str, ...]]:
    """Run one seed to its end; an error of the run is an unknown verdict of that seed.

    Returns:
        The line, the Run (None when it did not come to one), and the trace when it is kept.
    """
    check_client(scenario.workload, scenario.system)
    begun_s = time.perf_counter()
    patches.reseed(seed)
    world = World(scenario.system, seed, model=scenario.model, keep_trace=keep_trace)
    start_ns, run, trouble = world.loop.now_ns, None, ""
    try:
        run = world.run(_experiment(world, scenario, seed), limit_s=_LIMIT_S + scenario.seconds)
    except CoordChaosError as error:
        trouble = str(error)
    finally:
        world.close()
    wrong = [] if run is None else [verdict.summary for verdict in run.verdicts if verdict.status is not Status.HELD]
    result = SeedResult(
        seed=seed,
        verdict="unknown" if run is None else str(run.status),
        trace_hash=world.loop.trace.digest,
        operations=0 if run is None else run.figures.operations,
        virtual_s=round((world.loop.now_ns - start_ns) / 1e9, 6),
        wall_s=round(time.perf_counter() - begun_s, 4),
        faults=words_of(run.faults if run else ()),
        partitions=partitions_of(world.cluster),
        summary=trouble or (wrong[0] if wrong else ""),
    )
    return result, run, world.lines


async def _experiment(world: World, scenario: Scenario, seed: int) -> Run:
    patches.self_test()
    cluster = await world.start()
    plan = scenario.plan or plans.draw(_words(scenario, seed), cluster.nodes, scenario.seconds, seed)
    run = await perform_one(
        world, cluster, scenario.workload, plan, scenario.request, seed, scenario.known, script=scenario.script
    )
    if scenario.progress is not None:
        verdict = await _progress(world, cluster, scenario, scenario.progress)
        run = replace(run, verdicts=(*run.verdicts, verdict))
    return run


def _words(scenario: Scenario, seed: int) -> tuple[str, ...]:
    """The fault words that a seed tries."""
    if scenario.script:
        return ()
    return some_of(scenario.faults, scenario.seconds, seed) if scenario.swarm else scenario.faults


async def perform_one(
    world: World,
    cluster: LiveCluster,
    workload: Workload,
    plan: Plan,
    request: TestRequest,
    seed: int,
    known: Mapping[str, Invariant],
    *,
    script: Script | None = None,
) -> Run:
    """One experiment in a world that stands."""
    experiment = Experiment(
        cluster=cluster,
        workload=workload,
        plan=plan,
        request=request,
        seed=seed,
        clock=world.clock,
        known={**INVARIANTS, **known},
        script=script,
    )
    return await experiment.perform()


async def _progress(world: World, cluster: LiveCluster, scenario: Scenario, progress: Progress) -> Verdict:
    """Cut off all but the live nodes, for ever; they must do one more operation in time."""
    core = progress.nodes or scenario.system.live.drawn(cluster.nodes, Random(f"{world.seed}:live"))
    rest = frozenset(cluster.nodes) - frozenset(core)
    if rest:
        await cluster.apply(Partition((frozenset((*core, CLIENTS)), rest)))
    since = len(cluster.recorder.all())
    alone = replace(scenario.workload, operations=None, rate_per_s=None, clients=len(core))
    took_s = await _drive_until_ok(world, cluster, alone, core, progress.within_s, since)
    words = f"nodes {', '.join(core)} alone, {', '.join(sorted(rest)) or 'nobody'} cut off for ever"
    if took_s is None:
        summary = f"progress exceeded: nothing succeeded for {progress.within_s:g} s ({words})"
        return Verdict(name="progress", status=Status.VIOLATED, summary=summary)
    return Verdict(name="progress", status=Status.HELD, summary=f"progress held: after {took_s:.3f} s ({words})")


async def _drive_until_ok(
    world: World, cluster: LiveCluster, workload: Workload, core: Sequence[str], within_s: float, since: int
) -> float | None:
    client = workload.client or cluster.system.client
    begun_ns = world.clock.now_ns()
    load = asyncio.ensure_future(
        drive(
            workload,
            client,
            cluster,
            cluster.recorder,
            rng=Random(f"{world.seed}:progress"),
            clock=world.clock,
            seconds=within_s,
            nodes=core,
        )
    )
    try:
        while not load.done():
            if any(op.outcome is Outcome.OK for op in cluster.recorder.all().operations[since:]):
                return (world.clock.now_ns() - begun_ns) / 1e9
            await world.clock.sleep(_POLL_S)
        return None
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


def check_client(workload: Workload, system: System) -> None:
    """Clients must be coroutines: a blocking one would live on the real clock.

    Raises:
        UsageError: There is no client.
        CapabilityError: It is made of plain functions.
    """
    client = workload.client or system.client
    if client is None:
        raise UsageError(f"run({workload.name!r}): System({system.name!r}) has no client; give System(client=Client(…))")
    assert isinstance(client, Client)
    plain = [name for name in ("connect", "call", "close") if not _is_coroutine(getattr(client, name))]
    if plain:
        raise CapabilityError(
            f"the client of {workload.name!r} cannot run in sim: {', '.join(plain)} are plain functions, which would block on "
            "real sockets; make them coroutine functions"
        )


def _is_coroutine(function: Any) -> bool:
    return function is None or inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def words_of(faults: Iterable[RunFault]) -> dict[str, int]:
    """Fault words that were carried out -> how often."""
    words = [_word(fault) for fault in faults if fault.verified]
    return {word: words.count(word) for word in dict.fromkeys(words)}


def _word(fault: RunFault) -> str:
    """The fault word of a plan's event ("1-kill:leader"); the verb of what a script did ("kill n2")."""
    return fault.id.partition("-")[2] or fault.words.partition(" ")[0]


def partitions_of(cluster: LiveCluster | None) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The groups of every partition that was in force."""
    if cluster is None:
        return ()
    found = []
    for handle in cluster.handles:
        if handle.words.startswith("partition {"):
            groups = handle.words.removeprefix("partition ").split(" | ")
            found.append(tuple(tuple(group.strip("{}").split(",")) for group in groups))
    return tuple(found)
