"""Containers: how long clusters take to be ready, kill and restart, the heal; and what SIGKILLs of pytest leave behind.

    COORDCHAOS_BASE_IMAGE=… python -m tests.bench.bench_docker [--repeat 5] [--kills 100]

Prints medians and a count; nothing is asserted. Images are cached: the first start, which builds, is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_coordchaos import Cluster, Session
from pytest_coordchaos.settings import Settings
from reference_systems.raft_kv.system import system as raft_kv
from tests.systems.docker.engine import BASE, left_of

SUITE = """
from reference_systems.raft_kv.system import system

def test_busy(coordchaos):
    for _ in range(50):
        with coordchaos.start(system(nodes=3)) as cluster:
            cluster.run("register", seconds=1, faults=["kill:one"])
"""
LONGEST_S, GONE_S = 9.0, 60.0


def main() -> None:
    """Run both parts and print what they find."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--kills", type=int, default=100)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as root:
        clusters(Path(root), given.repeat)
    kills(given.kills)


def clusters(root: Path, repeat: int) -> None:
    """Five nodes: links listen and every node knows a leader; then a kill, a restart and a heal of each cluster."""
    session = Session(settings=Settings(runtime="docker", base_image=BASE), root=root)
    what = ("5 containers ready", "stopped", "kill", "restart", "heal to first success")
    times: dict[str, list[float]] = {name: [] for name in what}
    try:
        with session.start(raft_kv(nodes=5)):
            pass  # builds the image, once
        for _ in range(repeat):
            started = time.perf_counter()
            with session.start(raft_kv(nodes=5)) as cluster:
                times["5 containers ready"].append(time.perf_counter() - started)
                _one_of_each(cluster, times)
                started = time.perf_counter()
            times["stopped"].append(time.perf_counter() - started)
    finally:
        session.close()
    print("| what | median s | worst s |\n| --- | --- | --- |")
    for name, taken in times.items():
        print(f"| {name} | {statistics.median(taken):.2f} | {max(taken):.2f} |")


def _one_of_each(cluster: Cluster, times: dict[str, list[float]]) -> None:
    victim = next(node for node in cluster.nodes if node != cluster.leader())
    times["kill"].append(_timed(lambda: cluster.kill(victim)))
    times["restart"].append(_timed(lambda: cluster.restart(victim)))
    majority = cluster.nodes[:1], cluster.nodes[1:3], cluster.nodes[3:]
    with cluster.partition(*(set(group) for group in majority)):
        time.sleep(1.0)  # long enough that nobody leads any more
    times["heal to first success"].append(_timed(lambda: _until_written(cluster)))


def _until_written(cluster: Cluster) -> None:
    while cluster.run("register", seconds=0.1, clients=1).figures.ok == 0:
        pass


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def kills(count: int) -> None:
    """SIGKILL a pytest at random moments; what is left at once (the reaper's work), and after the next session's sweep."""
    rng, victims, at_once, waits = random.Random("kills"), [], 0, []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as root:
            pid = _killed(Path(root), rng.uniform(0.3, LONGEST_S))
            victims.append(pid)
            started = time.perf_counter()
            while (left := _left(pid)) and time.perf_counter() - started < GONE_S:
                time.sleep(0.05)
            waits.append(time.perf_counter() - started)
            at_once += len(left)
    with tempfile.TemporaryDirectory() as root:
        after_sweep = _sweep_and_count(Path(root), victims)
    print(f"{count} SIGKILLs: {at_once} left by the reapers, {after_sweep} after the next sweep")
    print(f"all gone after {statistics.median(waits):.2f} s (median; worst {max(waits):.2f} s)")


def _killed(root: Path, moment_s: float) -> int:
    (root / "test_busy.py").write_text(SUITE)
    options = ["-q", "--coordchaos", "--coordchaos-runtime=docker", "-p", "no:cacheprovider", f"--basetemp={root / 'base'}"]
    argv = [sys.executable, "-m", "pytest", *options, "test_busy.py"]
    environment = {**os.environ, "COORDCHAOS_BASE_IMAGE": BASE}
    process = subprocess.Popen(argv, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return process.pid


def _left(pid: int) -> list[str]:
    return [name for name in left_of("") if f"-{pid}-" in name]


def _sweep_and_count(root: Path, victims: list[int]) -> int:
    """Start and stop one cluster, whose session sweeps first; then count what the victims still own."""
    session = Session(settings=Settings(runtime="docker", base_image=BASE), root=root)
    with session.start(raft_kv(nodes=1)):
        pass
    session.close()
    return sum(len(_left(pid)) for pid in victims)


if __name__ == "__main__":
    main()
