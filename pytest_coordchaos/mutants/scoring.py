"""How soon mutants are noticed: seeds until a named verdict is violated, and a control with the healthy system."""

from __future__ import annotations

import queue
import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos.mutants.model import Mutant, MutantSuite
from pytest_coordchaos.mutants.trials import scenario_of
from pytest_coordchaos.run import Run
from pytest_coordchaos.simulation.client import Worker
from pytest_coordchaos.simulation.scenario import Scenario, SeedResult
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["Score", "check", "score", "summary"]

Case = tuple[MutantSuite, Mutant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What became of one mutant.

    Args:
        system, mutant, doc: Who it is.
        caught: A verdict that it names was violated.
        by: Which one; None: it was missed.
        seeds: Seeds tried, the one that caught it included.
        said: What that verdict says; of a missed one, the last that was not held.
        alarm: What the healthy system was accused of in the control; "": nothing.
        failed: The Run that caught it.
    """

    system: str
    mutant: str
    doc: str
    caught: bool
    by: str | None
    seeds: int
    said: str = ""
    alarm: str = ""
    failed: Run | None = None

    @property
    def good(self) -> bool:
        """Caught, and the healthy system was accused of nothing."""
        return self.caught and not self.alarm

    def as_plain(self) -> dict[str, Any]:
        """As a JSON object."""
        names = ("system", "mutant", "caught", "by", "seeds", "doc", "said", "alarm")
        return {name: getattr(self, name) for name in names}


def check(cases: Iterable[Case]) -> None:
    """Every mutant and its control can be tried.

    Raises:
        UsageError: The first that names something that does not exist.
    """
    for suite, mutant in cases:
        scenario_of(suite, mutant)
        scenario_of(suite, mutant, control=True)


def score(
    cases: Sequence[Case],
    *,
    jobs: int = 1,
    seeds: int | None = None,
    control: int = 3,
    told: Callable[[Score], None] | None = None,
) -> tuple[Score, ...]:
    """Try mutants in the simulator, each with the seeds 0, 1, 2 … until it is caught.

    Args:
        cases: Suites and mutants of theirs.
        jobs: Worker processes.
        seeds: At most so many for each; None: what each mutant says.
        control: Seeds for the healthy system in each mutant's place; the one that caught the mutant comes first.
        told: Told of each result, in order.

    Raises:
        UsageError: A mutant names something that does not exist; nothing was started.
        CoordChaosError: A worker died.
    """
    check(cases)
    found = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        workers = [Worker() for _ in range(jobs)]
        spare: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        try:
            for worker in workers:
                spare.put(worker)
            for one in pool.map(lambda case: _try(spare, case, seeds, control), cases):
                found.append(one)
                if told is not None:
                    told(one)
        finally:
            for worker in workers:
                worker.close()
    return tuple(found)


def summary(scores: Sequence[Score]) -> str:
    """One line for the scores of one system: how many were caught, after how many seeds, and false alarms."""
    caught = [one.seeds for one in scores if one.caught]
    alarms = sum(1 for one in scores if one.alarm)
    text = f"{scores[0].system}: {len(caught)} of {len(scores)} caught"
    if caught:
        text += f"; seeds median {statistics.median(caught):g}, worst {max(caught)}"
    return text + (f"; {alarms} with a false alarm" if alarms else "")


def _try(spare: queue.SimpleQueue[Worker], case: Case, seeds: int | None, control: int) -> Score:
    suite, mutant = case
    worker = spare.get()
    try:
        verdict, run, tried, doubt = _hunt(worker, scenario_of(suite, mutant), mutant.caught_by, seeds or mutant.seeds)
        alarm = _alarm(worker, scenario_of(suite, mutant, control=True), _control_seeds(control, tried - 1 if verdict else 0))
    finally:
        spare.put(worker)
    return Score(
        system=suite.name,
        mutant=mutant.name,
        doc=mutant.doc,
        caught=verdict is not None,
        by=verdict.name if verdict else None,
        seeds=tried,
        said=verdict.summary if verdict else doubt,
        alarm=alarm,
        failed=run if verdict else None,
    )


def _hunt(
    worker: Worker, scenario: Scenario, caught_by: Sequence[str], seeds: int
) -> tuple[Verdict | None, Run | None, int, str]:
    """Seeds until one of the named verdicts is violated; and what was said last when none is."""
    worker.ask("take", scenario)
    doubt = ""
    for seed in range(seeds):
        result, run = _one(worker, seed)
        for verdict in run.verdicts if run else ():
            if verdict.status is Status.VIOLATED and verdict.name in caught_by:
                return verdict, run, seed + 1, ""
        doubt = f"seed {seed} {result.verdict}: {result.summary.partition(chr(10))[0]}" if result.verdict != "held" else doubt
    return None, None, seeds, doubt


def _alarm(worker: Worker, scenario: Scenario, seeds: Iterable[int]) -> str:
    """What the healthy system is accused of, and with which seed."""
    worker.ask("take", scenario)
    for seed in seeds:
        _, run = _one(worker, seed)
        for verdict in run.verdicts if run else ():
            if verdict.status is Status.VIOLATED:
                return f"seed {seed} {verdict.summary}"
    return ""


def _control_seeds(count: int, first: int) -> list[int]:
    return [first, *(seed for seed in range(count) if seed != first)][:count]


def _one(worker: Worker, seed: int) -> tuple[SeedResult, Run | None]:
    answer: tuple[SeedResult, Run | None] = worker.ask("seed", seed)
    return answer
