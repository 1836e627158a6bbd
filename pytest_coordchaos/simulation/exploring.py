"""An exploration as a test asks for it: a scenario from a system and a request, and a Run that carries its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.faults import words as fault_words
from pytest_coordchaos.faults.plan import checked_seconds
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.simulation import campaigns
from pytest_coordchaos.simulation.explore import Exploration, explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario, check_client
from pytest_coordchaos.system.model import System
from pytest_coordchaos.verdicts import Status, Verdict
from pytest_coordchaos.workloads.model import Workload

__all__ = ["explore_system"]


async def explore_system(
    system: System,
    workload: Workload,
    request: TestRequest,
    known: Mapping[str, Invariant],
    *,
    seeds: int | Iterable[int],
    faults: Iterable[str] | None,
    seconds: float | None,
    jobs: int,
    keep_going: bool,
    progress_s: float | None,
    swarm: bool,
) -> tuple[Exploration, Run]:
    """Run the seeds; returns what they gave, and a Run that says so to the test."""
    check_client(workload, system)
    words = tuple(request.faults if faults is None else faults)
    fault_words.check_nodes(words, system.node_names, system.roles)
    bound_s = system.live.within_s if progress_s is None else progress_s
    scenario = Scenario(
        system=system,
        workload=workload,
        faults=words,
        swarm=swarm,
        seconds=checked_seconds(seconds if seconds is not None else request.seconds),
        request=request,
        progress=Progress(within_s=bound_s) if bound_s else None,
        known=known,
    )
    wanted: Iterable[int] = range(seeds) if isinstance(seeds, int) else list(seeds)
    if campaigns.keeper is not None:
        campaigns.keeper.asked({field.name: getattr(scenario, field.name) for field in fields(scenario)}, explored=True)
        wanted = () if campaigns.keeper.only_look else wanted
    found = await asyncio.to_thread(explore, scenario, wanted, nodes=system.node_names, jobs=jobs, keep_going=keep_going)
    return found, _as_run(found, scenario)


def _as_run(found: Exploration, scenario: Scenario) -> Run:
    failed = found.failed
    status = Status.HELD if failed is None else Status(failed.verdict)
    if failed is None and (found.diverged or not found.results):
        status = Status.UNKNOWN
    first, *rest = found.summary.splitlines()
    alone = f"this seed alone: coordchaos campaign {scenario.request.test} --seeds {failed.seed}" if failed else ""
    details = (*rest, alone) if alone and scenario.request.test else tuple(rest)
    verdict = Verdict(name="explore", status=status, summary=f"explore {status}: {first}", details=details)
    if found.failure is not None:
        return replace(found.failure, verdicts=(*found.failure.verdicts, verdict))
    return Run(
        test=scenario.request.test,
        system=scenario.system.name,
        runtime="sim",
        runtime_reason="explore",
        nodes=len(scenario.system.node_names),
        workload=scenario.workload.name,
        seed=scenario.request.seed,
        start_ns=0,
        end_ns=0,
        verdicts=(verdict,),
        reproduce=scenario.request.reproduce,
    )
