"""What the gossip ring costs and how soon it sees a crash, in simulations and as real processes.

    python -m tests.bench.bench_gossip [--runs 2000] [--large 1000] [--processes 0]

Prints figures; nothing is asserted. "pure" is the protocol's own code on a heap of events (tests/unit/gossip_model.py), "sim"
the whole node on the simulator's network. The first probe of a crashed member is counted in whole periods that begin together,
beside a reference that draws turns without any of that code (1.27 periods at n = 3, 1.55 at n = 32). Target: within 5 %, and
at most 2.2 messages sent per member and period where nothing is lost.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pytest_coordchaos import Session
from pytest_coordchaos.run import Run
from pytest_coordchaos.settings import Settings
from pytest_coordchaos.simulation.scenario import Scenario, perform
from pytest_coordchaos.simulation.world import Model
from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.messages import State
from reference_systems.gossip_ring.system import system
from reference_systems.gossip_ring.workloads import lookups
from tests.bench.gossip_together import periods_to_first_probe, simulated
from tests.unit.gossip_model import Group
from tests.unit.test_gossip_swim import round_robin_reference

PERIOD_S = Config().period_s
SIZES = (3, 5, 10, 32)


def cpu_s() -> float:
    """CPU seconds of this process; no clock that a simulation patches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Every figure once."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=2000)
    arguments.add_argument("--large", type=int, default=1000)
    arguments.add_argument("--processes", type=int, default=0)
    given = arguments.parse_args()
    if given.processes:
        _processes(given.processes)
        return
    for n in SIZES:
        _first_probe("pure", n, given.runs, partial(_pure_periods, n))
    for n in (3, 8, 16, 32, 64):
        _load(n)
    _large(given.large)
    with simulated():
        for n in SIZES:
            _first_probe("sim ", n, given.runs if n <= 10 else given.runs // 10, partial(periods_to_first_probe, n))
        for n in (3, 16, 32, 64):
            _simulated(n)


def _first_probe(where: str, n: int, runs: int, periods: Callable[[int], int]) -> None:
    rng, begun = random.Random(0), cpu_s()
    reference = statistics.fmean(round_robin_reference(n, rng) for _ in range(50 * runs))
    seen = [periods(seed) for seed in range(runs)]
    mean, error = statistics.fmean(seen), statistics.stdev(seen) / math.sqrt(runs)
    drawn = 1 / (1 - (1 - 1 / (n - 1)) ** (n - 1))
    print(
        f"{where}, n = {n:2}: first probe after {mean:.3f} ± {error:.3f} periods, round-robin {reference:.3f} "
        f"({mean / reference - 1:+.1%}), random targets {drawn:.3f}; {runs} runs, {cpu_s() - begun:.0f} s of CPU"
    )


def _pure_periods(n: int, seed: int) -> int:
    return Group(n, config=Config(probe_timeout_ms=1), seed=seed, together=True).periods_to_first_probe("n1")


def _load(n: int, periods: int = 200) -> None:
    group = Group(n)
    group.run(10 * PERIOD_S)
    before = sum(group.sent.values())
    group.run(periods * PERIOD_S)
    print(f"pure, n = {n:2}: {(sum(group.sent.values()) - before) / n / periods:.3f} messages sent per member and period")


def _large(n: int) -> None:
    begun, group = cpu_s(), Group(n)
    group.run(10 * PERIOD_S)
    rate = sum(group.sent.values()) / n / 10
    group.crash("n7")
    crashed = group.now
    while len(group.events("n7", State.DEAD)) < n - 1:
        group.run(5 * PERIOD_S)
    suspected, declared = group.events("n7", State.SUSPECT), group.events("n7", State.DEAD)
    print(f"pure, n = {n}: {rate:.2f} messages sent per member and period; a crash suspected")
    times = (suspected[0][1].at - crashed, declared[0][1].at - crashed, declared[-1][1].at - declared[0][1].at)
    print("    after {:.2f} s, declared after {:.2f} s, by all {:.2f} s later;".format(*times), f"{cpu_s() - begun:.0f} s of CPU")


def _simulated(n: int) -> None:
    begun = cpu_s()
    scenario = Scenario(system=system(n), workload=lookups(rate_per_s=5), seconds=10, model=Model.unit())
    result, run, _ = perform(scenario, 1)
    assert run is not None, result.summary
    _say("sim ", n, run, f"{result.virtual_s:.1f} s took {cpu_s() - begun:.1f} s of CPU, {n * (n - 1)} pairs of members")


def _processes(n: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        session = Session(settings=Settings(), root=Path(directory))
        try:
            with session.start(system(n)) as cluster:
                cluster.run("lookups", rate_per_s=5, seconds=10)
                run = cluster.run("lookups", rate_per_s=5, seconds=20, faults=["kill:one"])
        finally:
            session.close()
    _say(
        "real",
        n,
        run,
        ", ".join(f"{fault.words} for {((fault.end_ns or 0) - fault.start_ns) / 1e9:.1f} s" for fault in run.faults),
    )


def _say(where: str, n: int, run: Run, more: str) -> None:
    sent = sum(message.link.port == "gossip" or message.message_class in ("sync", "sync_ok") for message in run.ledger.messages)
    rate = sent / n / (run.ledger.seconds / PERIOD_S)
    print(f"{where}, n = {n:2}: {rate:.3f} messages sent per member and period; {more}")
    for verdict in run.verdicts:
        print(f"    {verdict.summary}")


if __name__ == "__main__":
    main()
