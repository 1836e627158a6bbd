"""How long a cluster takes to be ready, a fault to be applied and proven, and what a Raft put costs.

    python -m tests.bench.bench_cluster [--repeat 5]

Prints medians; nothing is asserted. The floor of readiness is the time in which the same number of Python
processes that only listen can be started by hand.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_coordchaos import Cluster, Session
from pytest_coordchaos.run import BudgetRequest, TestRequest
from pytest_coordchaos.settings import Settings
from reference_systems.raft_kv.system import system as raft_kv

LISTEN = "import asyncio; asyncio.run(asyncio.start_server(lambda r, w: None, '127.0.0.1', 0)); print('up', flush=True)"


def main() -> None:
    """Run all parts and print one table each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeat", type=int, default=5)
    repeat = arguments.parse_args().repeat
    with tempfile.TemporaryDirectory() as root:
        session = Session(settings=Settings(), root=Path(root))
        try:
            readiness(session, repeat)
            faults(session, repeat)
            costs(session)
        finally:
            session.close()


def readiness(session: Session, repeat: int) -> None:
    """Cluster of n ready (a leader is known) against n bare listening processes."""
    print("| nodes | ready s (median) | worst s | floor s | ratio |\n| --- | --- | --- | --- | --- |")
    for nodes in (3, 5):
        times, floors = [], []
        for _ in range(repeat):
            floors.append(_floor(nodes))
            started = time.perf_counter()
            with session.start(raft_kv(nodes=nodes)):
                times.append(time.perf_counter() - started)
        ratio = statistics.median(a / b for a, b in zip(times, floors, strict=True))
        print(f"| {nodes} | {statistics.median(times):.2f} | {max(times):.2f} | {statistics.median(floors):.2f} | {ratio:.1f} |")


def _floor(nodes: int) -> float:
    started = time.perf_counter()
    children = [subprocess.Popen([sys.executable, "-S", "-c", LISTEN], stdout=subprocess.PIPE) for _ in range(nodes)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        child.wait()
    return time.perf_counter() - started


def faults(session: Session, repeat: int) -> None:
    """Time for a verb to return: in force and proven."""
    print("\n| fault on 5 nodes | applied and probed ms (median) | worst ms | of it the injected delay ms |")
    print("| --- | --- | --- | --- |")
    with session.start(raft_kv(nodes=5)) as cluster:
        verbs = {
            "partition {n1,n2} | {n3,n4,n5}": (lambda: cluster.partition({"n1", "n2"}, {"n3", "n4", "n5"}), 0),
            "cut n1 -> n2": (lambda: cluster.cut("n1", "n2"), 0),
            "isolate n1": (lambda: cluster.isolate("n1"), 0),
            "refuse n1 -> n2": (lambda: cluster.refuse("n1", "n2"), 0),
            "slow n1 -> n3 by 100 ms": (lambda: cluster.slow("n1", "n3", one_way_ms=100), 100),
            "pause n4": (lambda: cluster.pause("n4"), 0),
            "kill n5": (lambda: cluster.kill("n5"), 0),
        }
        for name, (verb, delay_ms) in verbs.items():
            times = []
            for _ in range(repeat):
                started = time.perf_counter()
                fault = verb()
                times.append((time.perf_counter() - started) * 1000)
                assert fault.verified
                fault.undo()
                cluster.wait_healed()
            print(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} | {delay_ms} |")


def costs(session: Session) -> None:
    """Messages per put, fault-free, at concurrency 1 and 64."""
    print("\n| nodes | clients | puts | messages/put | floor 2(n-1) | ratio | p50 ms | p99 ms | puts/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for nodes in (3, 5, 7):
        with session.start(raft_kv(nodes=nodes)) as cluster:
            for clients in (1, 64):
                print(_cost_row(session, cluster, nodes, clients))


def _cost_row(session: Session, cluster: Cluster, nodes: int, clients: int) -> str:
    budget = BudgetRequest(op="put", limits={"messages_per_op": 1e9})
    session.begin_test(TestRequest(test="bench", seed=nodes, budgets=(budget,)))
    run = cluster.run("register", seconds=4, clients=clients, read_share=0.0, cas_share=0.0)
    session.end_test()
    verdict = next(verdict for verdict in run.verdicts if verdict.kind == "budget")
    assert verdict.measured is not None
    figures, floor = run.figures, 2 * (nodes - 1)
    rate = figures.ok / ((run.end_ns - run.start_ns) / 1e9)
    return (
        f"| {nodes} | {clients} | {figures.ok} | {verdict.measured:.2f} | {floor} | {verdict.measured / floor:.3f} "
        f"| {figures.p50_ms:.1f} | {figures.p99_ms:.1f} | {rate:.0f} |"
    )


if __name__ == "__main__":
    main()
