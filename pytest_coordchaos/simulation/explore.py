"""Many seeds of one scenario, in worker processes: until the first that fails, or to the end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.run import Run
from pytest_coordchaos.simulation.campaigns import Sent, Whole
from pytest_coordchaos.simulation.client import Worker
from pytest_coordchaos.simulation.coverage import statement
from pytest_coordchaos.simulation.scenario import Scenario, SeedResult
from pytest_coordchaos.simulation.trace_files import first_difference

__all__ = ["Exploration", "What", "explore", "trace", "worker_of"]

What = Scenario | Sent | Whole
"""What every seed tries."""

_WASTE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What many seeds gave.

    Args:
        results: One for each seed that was run, by seed.
        nodes: The system's nodes.
        words: The fault words that seeds drew from.
        failure: The Run of the lowest seed that is not held; None: all held, or it came to no Run.
        diverged: Where a second run of a seed differed from its first: then no replay can be trusted.
        checked: How many seeds were run twice.
        wall_s: How long it took.
    """

    results: tuple[SeedResult, ...]
    nodes: tuple[str, ...]
    words: tuple[str, ...] = ()
    failure: Run | None = None
    diverged: str = ""
    checked: int = 0
    wall_s: float = 0.0

    @property
    def failed(self) -> SeedResult | None:
        """The lowest seed that is not held."""
        return next((result for result in self.results if result.verdict != "held"), None)

    @property
    def faults(self) -> Mapping[str, int]:
        """Fault words that were carried out -> how often."""
        total: dict[str, int] = {}
        for result in self.results:
            for word, number in result.faults.items():
                total[word] = total.get(word, 0) + number
        return dict(sorted(total.items()))

    @property
    def _replays(self) -> str:
        if not self.checked:
            return "no seed was run twice (one in 100 is, and the one that fails)"
        return f"{self.checked} seeds were run twice; {self.diverged or 'each was the same run'}"

    @property
    def _exercised(self) -> str:
        """Which words were carried out, in how many combinations, and which never."""
        total = self.faults
        sets = len({frozenset(result.faults) for result in self.results if result.faults})
        done = ", ".join(f"{word} {number}" for word, number in total.items()) or "none"
        never = ", ".join(word for word in self.words if word not in total)
        return done + (f" (in {sets} combinations)" if len(total) > 1 else "") + (f"; never: {never}" if never else "")

    @property
    def coverage(self) -> str:
        """What the partitions of all seeds covered, and promise."""
        return statement(self.nodes, (groups for result in self.results for groups in result.partitions))

    @property
    def summary(self) -> str:
        """A few lines for people."""
        count, virtual_s = len(self.results), sum(result.virtual_s for result in self.results)
        failed = self.failed
        lines = [
            f"{count} seeds in {self.wall_s:.1f} s: {count / max(self.wall_s, 1e-9):.1f} seeds/s, "
            f"{virtual_s / max(self.wall_s, 1e-9):.0f} simulated seconds a second",
            f"faults: {self._exercised}",
            f"coverage: {self.coverage}",
            f"replays: {self._replays}",
        ]
        return "\n".join(lines if failed is None else [f"seed {failed.seed} {failed.verdict}: {failed.summary}", *lines])

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        said = "all held" if self.failed is None else f"seed {self.failed.seed} {self.failed.verdict}"
        return f"<Exploration of {len(self.results)} seeds: {said}>"


def explore(
    scenario: What,
    seeds: Iterable[int],
    *,
    nodes: tuple[str, ...],
    jobs: int = 1,
    keep_going: bool = False,
    sample: int = 100,
    told: Callable[[SeedResult], None] | None = None,
) -> Exploration:
    """Run seeds, side by side in worker processes.

    Args:
        scenario: What every seed tries.
        seeds: Which.
        nodes: The system's nodes, for the statement on coverage.
        jobs: Worker processes.
        keep_going: Go on after a seed that is not held.
        sample: One seed in so many is run twice, and so is the one that fails. 0: only that.
        told: Told of each result as it comes.

    Raises:
        CoordChaosError: The scenario cannot be simulated, or a worker died.
    """
    begun_s = time.perf_counter()
    crew = _Crew(scenario, iter(seeds), keep_going)
    found: dict[int, tuple[SeedResult, Run | None]] = {}
    for result, run in crew.work(jobs):
        found[result.seed] = (result, run)
        if told is not None:
            told(result)
    ordered = [found[seed] for seed in sorted(found)]
    failing = next((pair for pair in ordered if pair[0].verdict != "held"), None)
    twice = [result for place, (result, _) in enumerate(ordered) if sample and place % sample == sample - 1]
    twice = twice if failing is None else [failing[0], *(result for result in twice if result is not failing[0])]
    return Exploration(
        results=tuple(result for result, _ in ordered),
        nodes=nodes,
        words=crew.words,
        failure=failing[1] if failing else None,
        diverged=_diverged(scenario, twice),
        checked=len(twice),
        wall_s=time.perf_counter() - begun_s,
    )


class _Crew:
    """Worker processes that take seeds from one source."""

    def __init__(self, scenario: What, seeds: Iterator[int], keep_going: bool) -> None:
        self._scenario = scenario
        self._seeds = seeds
        self._keep_going = keep_going
        self.words: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._stop = False
        self._found: queue.SimpleQueue[tuple[SeedResult, Run | None] | BaseException | None] = queue.SimpleQueue()

    def work(self, jobs: int) -> Iterator[tuple[SeedResult, Run | None]]:
        """Results as they come."""
        workers = [worker_of(self._scenario) for _ in range(jobs)]
        threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in workers]
        try:
            for thread in threads:
                thread.start()
            running = len(threads)
            while running:
                one = self._found.get()
                if one is None:
                    running -= 1
                elif isinstance(one, BaseException):
                    raise one
                else:
                    if one[0].verdict != "held" and not self._keep_going:
                        self._stop = True
                    yield one
        finally:
            self._stop = True
            for worker in workers:
                worker.close()

    def _serve(self, worker: Worker) -> None:
        try:
            self.words = _hand_over(worker, self._scenario)
            while (seed := self._next()) is not None:
                self._found.put(worker.ask("seed", seed))
        except CoordChaosError as error:
            if not self._stop:
                self._found.put(error)
        self._found.put(None)

    def _next(self) -> int | None:
        with self._lock:
            return None if self._stop else next(self._seeds, None)


def worker_of(scenario: What) -> Worker:
    """A process that can run its seeds."""
    if isinstance(scenario, Whole):
        return Worker(scenario.log, module="pytest_coordchaos.simulation.whole", arguments=[scenario.test])
    return Worker()


def _hand_over(worker: Worker, scenario: What) -> tuple[str, ...]:
    """Give a worker its scenario, and learn its fault words; a whole test it has already."""
    if isinstance(scenario, Whole):
        return ()
    words: tuple[str, ...] = worker.ask("take_sent" if isinstance(scenario, Sent) else "take", scenario)
    return words


def trace(scenario: What, seed: int, waste: int = 0) -> tuple[SeedResult, tuple[str, ...]]:
    """Run one seed in a worker of its own, and keep its whole trace."""
    worker = worker_of(scenario)
    try:
        _hand_over(worker, scenario)
        result, _, lines = worker.ask("trace", seed, waste)
        return result, lines
    finally:
        worker.close()


def _diverged(scenario: What, results: list[SeedResult]) -> str:
    """Run seeds again in a fresh worker whose memory looks otherwise; where a run differs, say at which step."""
    for result in results:
        again, lines = trace(scenario, result.seed, _WASTE)
        if again.trace_hash != result.trace_hash:
            text = f"seed {result.seed} did not run the same way twice: no replay of it can be trusted"
            found = first_difference(lines, trace(scenario, result.seed)[1])
            return (
                text if found is None else f"{text}; first difference at step {found.number}: {found.one[0]}, or {found.other[0]}"
            )
    return ""
