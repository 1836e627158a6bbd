"""How fast the simulator is, in CPU time of one core.

    python -m tests.bench.bench_sim [--seeds 20] [--repeat 5]

Prints medians; nothing is asserted. CPU time and not the clock's, because the machine may be busy. Targets: 50,000
messages/s for an echo, 12,000 for the Raft store under load, 8 seeds/s for ten simulated seconds of five Raft nodes with
100 ms heartbeats, 100 operations and faults, the trace's hash included.

What is compared is run in turns, each time in the other order, so that a machine that slows down slows down both; the
ratio is the median of the turns. Without a trace means that nothing is packed, digested or hashed.

simloop, the fastest other one, does the same echo where it is installed (Python 3.12 or later): its 0.2.2 did 0.78 of
our messages/s, in turns on one machine. It has no Raft store to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from pytest_coordchaos.runtimes.sim import fences, kernel, patches
from pytest_coordchaos.runtimes.sim.trace import Trace
from pytest_coordchaos.simulation import world
from pytest_coordchaos.simulation.scenario import Scenario, perform
from pytest_coordchaos.workloads.register import register
from reference_systems.raft_kv.system import system
from tests.sim.rig import PORT, Rig, ask, echo, serve_echo

FAULTS = ("partition:halves", "kill:leader", "pause:one", "slow:20", "partition:majorities-ring", "kill:one")
FIVE = system(nodes=5, election_min_ms=300, election_max_ms=600, heartbeat_ms=100)
TEN_SECONDS = Scenario(system=FIVE, workload=register(rate_per_s=10), faults=FAULTS, seconds=10)
LOADED = Scenario(system=FIVE, workload=register(clients=10), seconds=2)
CLIENTS, QUESTIONS = 10, 1000


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
    gc.collect()
    gc.freeze()
    gc.disable()
    print(f"Python {sys.version.split()[0]}; per second of CPU time\n")
    kinds: dict[str, Callable[[], float]] = {"hashed": _echo, "whole trace kept": _echo_kept, "no trace": _echo_untraced}
    if find_spec("simloop"):
        kinds["simloop"] = _echo_simloop
    _compare(f"messages/s, echo of {CLIENTS} clients over streams", kinds, given.repeat)
    _compare("messages/s, Raft store under load", {"hashed": _loaded, "no trace": _untraced(_loaded)}, given.repeat)
    numbers = iter(range(1, 1 + given.seeds))
    one_seed = {"hashed": lambda seed: _seed(seed), "whole trace kept": _seed_kept, "no trace": _seed_untraced}
    _seeds(one_seed, numbers)


def _compare(what: str, kinds: Mapping[str, Callable[[], float]], repeat: int) -> None:
    """Measure each kind in turns; the first is what the others are compared with."""
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(repeat):
        for kind in list(kinds) if turn % 2 else reversed(kinds):
            rates[kind].append(kinds[kind]())
    _print(what, rates)


def _print(what: str, rates: Mapping[str, list[float]]) -> None:
    first = next(iter(rates.values()))
    print(what)
    for kind, found in rates.items():
        ratio = statistics.median(own / base for own, base in zip(found, first, strict=True))
        print(f"    {kind:18} {statistics.median(found):11,.1f}   best {max(found):11,.1f}   x {ratio:.3f}")


# -- kinds of traces -----------------------------------------------------------------------------------


class _NoTrace(Trace):
    """Records nothing."""

    def add(self, now_ns: int, name: str, data: bytes) -> None:
        """Nothing."""


@contextmanager
def _no_packing() -> Iterator[None]:
    packed = kernel.PACK
    kernel.PACK, world.Trace = lambda *_: b"", _no_trace  # type: ignore[assignment,attr-defined,misc]  # for this alone
    try:
        yield
    finally:
        kernel.PACK, world.Trace = packed, Trace  # type: ignore[attr-defined,misc]  # as it was


def _no_trace(*, keep: bool = False) -> Trace:
    trace = _NoTrace(keep=keep)
    trace.put = lambda record: None
    return trace


def _untraced(measure: Callable[[], float]) -> Callable[[], float]:
    def measured() -> float:
        with _no_packing():
            return measure()

    return measured


# -- workloads -----------------------------------------------------------------------------------------


def _echo(trace: Trace | None = None) -> float:
    rig = Rig()
    if trace is not None:
        rig.loop.trace = trace
        trace.name("step")

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        await rig.on("b", ask())
        await asyncio.gather(*(rig.on("b", _client()) for _ in range(CLIENTS)))

    begun = cpu_s()
    rig.run(story(), limit_s=10_000)
    return 2 * CLIENTS * QUESTIONS / (cpu_s() - begun)


async def _client() -> None:
    reader, writer = await asyncio.open_connection("a", PORT)
    for number in range(QUESTIONS):
        writer.write(b'{"n": %d}\n' % number)
        await reader.readline()
    writer.close()


def _echo_kept() -> float:
    return _echo(Trace(keep=True))


def _echo_untraced() -> float:
    with _no_packing():
        return _echo(_no_trace())


def _echo_simloop() -> float:
    import simloop

    loop = simloop.SimLoop(1)
    loop.net.set_defaults(latency=(0.001, 0.001))

    async def serve() -> None:
        server = await asyncio.start_server(echo, port=PORT)
        await server.serve_forever()

    async def story() -> None:
        loop.net.host("a").create_task(serve())
        await asyncio.sleep(1)
        await asyncio.gather(*(loop.net.host("b").create_task(_client()) for _ in range(CLIENTS)))

    begun = cpu_s()
    loop.run_until_complete(story())
    took_s = cpu_s() - begun
    gc.collect()
    return 2 * CLIENTS * QUESTIONS / took_s


def _loaded() -> float:
    begun = cpu_s()
    _, run, _ = perform(LOADED, 1)
    assert run is not None, "a run without faults comes to its end"
    return len(run.ledger.messages) / (cpu_s() - begun)


def _seed(seed: int, *, keep_trace: bool = False) -> tuple[float, float, str]:
    """CPU seconds, virtual seconds, verdict."""
    begun = cpu_s()
    result, _, _ = perform(TEN_SECONDS, seed, keep_trace=keep_trace)
    return cpu_s() - begun, result.virtual_s, result.verdict


def _seed_kept(seed: int) -> tuple[float, float, str]:
    return _seed(seed, keep_trace=True)


def _seed_untraced(seed: int) -> tuple[float, float, str]:
    with _no_packing():
        return _seed(seed)


def _seeds(kinds: Mapping[str, Callable[[int], tuple[float, float, str]]], seeds: Iterator[int]) -> None:
    for kind in kinds.values():
        kind(0)
    before_kb, verdicts, virtual_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, set[str](), 0.0
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn, seed in enumerate(seeds):
        for kind in list(kinds) if turn % 2 else reversed(kinds):
            took_s, simulated_s, verdict = kinds[kind](seed)
            rates[kind].append(1 / took_s)
            verdicts.add(verdict)
            virtual_s += simulated_s / len(kinds)
    grown_kb, hashed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb, rates["hashed"]
    _print("seeds/s, five Raft nodes, 10 s, 100 operations, faults", rates)
    cpu = sum(1 / rate for rate in hashed)
    print(f"    all {len(hashed)} together: {len(hashed) / cpu:.1f} seeds/s, {virtual_s / cpu:.0f} x real time")
    print(f"memory: {before_kb / 1024:.0f} MiB after the first seed, {grown_kb / len(hashed):.0f} KiB more per seed after it")
    print(f"verdicts: {', '.join(sorted(verdicts))}")


if __name__ == "__main__":
    main()
