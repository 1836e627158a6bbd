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
from pytest_coordchaos.simulation.scenario import Scenario
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["Attempt", "Score", "check", "score", "scored", "summary"]

Case = tuple[MutantSuite, Mutant]
Attempt = Callable[[int], tuple[Run | None, str]]
"""Runs one seed: the Run, which may be left out where all held, and what is to be said where not."""

Begin = Callable[[Scenario], Attempt]


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
            for one in pool.map(lambda case: _simulated(spare, case, seeds, control), cases):
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


def scored(case: Case, begin: Begin, *, seeds: int | None, control: int) -> Score:
    """Try one mutant, then the healthy system in its place.

    Args:
        case: The mutant.
        begin: Makes a scenario ready; what it returns runs one seed of it.
        seeds, control: As in `score`.
    """
    suite, mutant = case
    verdict, run, tried, doubt = _hunt(begin(scenario_of(suite, mutant)), mutant.caught_by, seeds or mutant.seeds)
    first = tried - 1 if verdict else 0
    checked = [first, *(seed for seed in range(control) if seed != first)][:control]
    return Score(
        system=suite.name,
        mutant=mutant.name,
        doc=mutant.doc,
        caught=verdict is not None,
        by=verdict.name if verdict else None,
        seeds=tried,
        said=verdict.summary if verdict else doubt,
        alarm=_alarm(begin(scenario_of(suite, mutant, control=True)), checked) if checked else "",
        failed=run,
    )


def _hunt(attempt: Attempt, caught_by: Sequence[str], seeds: int) -> tuple[Verdict | None, Run | None, int, str]:
    """Seeds until one of the named verdicts is violated; and what was said last when none is."""
    doubt = ""
    for seed in range(seeds):
        run, said = attempt(seed)
        for verdict in run.verdicts if run else ():
            if verdict.status is Status.VIOLATED and verdict.name in caught_by:
                return verdict, run, seed + 1, ""
        doubt = f"seed {seed}: {said.partition(chr(10))[0]}" if said else doubt
    return None, None, seeds, doubt


def _alarm(attempt: Attempt, seeds: Iterable[int]) -> str:
    """What the healthy system is accused of, and with which seed."""
    for seed in seeds:
        run, _ = attempt(seed)
        for verdict in run.verdicts if run else ():
            if verdict.status is Status.VIOLATED:
                return f"seed {seed} {verdict.summary}"
    return ""


def _simulated(spare: queue.SimpleQueue[Worker], case: Case, seeds: int | None, control: int) -> Score:
    worker = spare.get()

    def begin(scenario: Scenario) -> Attempt:
        worker.ask("take", scenario)
        return attempt

    def attempt(seed: int) -> tuple[Run | None, str]:
        result, run = worker.ask("seed", seed)
        return run, result.summary

    try:
        return scored(case, begin, seeds=seeds, control=control)
    finally:
        spare.put(worker)
