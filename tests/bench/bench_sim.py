"""How fast the simulator is, in CPU time of one core.

    python tests/bench/bench_sim.py [--seeds 20] [--repeat 5]

Prints medians; nothing is asserted. CPU time and not the clock's, because the machine may be busy. Targets: 50,000
messages/s for an echo, 12,000 for the Raft store under load, 8 seeds/s for ten simulated seconds of five Raft nodes with
100 ms heartbeats, 100 operations and faults. simloop, the fastest other one, is measured too where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import sys
from collections.abc import Callable
from importlib.util import find_spec

from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.runtimes.sim.trace import Trace
from pytest_coordchaos.simulation.scenario import Scenario, perform
from pytest_coordchaos.workloads.register import register
from reference_systems.raft_kv.system import system
from tests.sim.rig import Rig, ask, serve_echo

FAULTS = ("partition:halves", "kill:leader", "pause:one", "slow:20", "partition:majorities-ring", "kill:one")
FIVE = system(nodes=5, election_min_ms=300, election_max_ms=600, heartbeat_ms=100)


def cpu_s() -> float:
    """CPU seconds of this process; no clock that a simulation patches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Every figure once, the medians of repeats."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--repeat", type=int, default=5)
    given = arguments.parse_args()
    patches.install()
    fences.install()
    gc.freeze()
    gc.disable()
    print(f"Python {sys.version.split()[0]}; per second of CPU time\n")
    print(f"echo, ten clients, streams:    {_median(lambda: _echo(10, 1000), given.repeat):9,.0f} messages/s")
    print(f"the same, whole trace kept:    {_median(lambda: _echo(10, 1000, keep=True), given.repeat):9,.0f} messages/s")
    if find_spec("simloop"):
        print("simloop is installed; run its own benchmarks/ beside this one on the same machine")
    print(f"Raft store under load:         {_median(_loaded, given.repeat):9,.0f} messages/s")
    _seeds(given.seeds)


def _median(measure: Callable[[], float], repeat: int) -> float:
    return statistics.median(measure() for _ in range(repeat))


def _echo(clients: int, questions: int, *, keep: bool = False) -> float:
    rig = Rig()
    if keep:
        rig.loop.trace = Trace(keep=True)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("a", 7000)
        for number in range(questions):
            writer.write(b'{"n": %d}\n' % number)
            await reader.readline()
        writer.close()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        await rig.on("b", ask())
        await asyncio.gather(*(rig.on("b", client()) for _ in range(clients)))

    begun = cpu_s()
    rig.run(story(), limit_s=10_000)
    return 2 * clients * questions / (cpu_s() - begun)


def _loaded() -> float:
    scenario = Scenario(system=FIVE, workload=register(clients=10), seconds=2)
    begun = cpu_s()
    _, run, _ = perform(scenario, 1)
    assert run is not None, "a run without faults comes to its end"
    return len(run.ledger.messages) / (cpu_s() - begun)


def _seeds(count: int) -> None:
    scenario = Scenario(system=FIVE, workload=register(rate_per_s=10), faults=FAULTS, seconds=10)
    perform(scenario, 0)
    begun, before_kb = cpu_s(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = [perform(scenario, seed)[0] for seed in range(1, count + 1)]
    took_s, virtual_s = cpu_s() - begun, sum(result.virtual_s for result in results)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    print(f"five Raft nodes, 10 s, faults: {count / took_s:9.1f} seeds/s, {virtual_s / took_s:.0f} x real time")
    print(f"memory: {before_kb / 1024:.0f} MiB at the first seed, {grown_kb / count:.0f} KiB more per seed after it")
    print(f"verdicts: {', '.join(sorted({result.verdict for result in results}))}")


if __name__ == "__main__":
    main()
