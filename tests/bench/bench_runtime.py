"""What the process runtime adds to starting programs by hand.

    python -m tests.bench.bench_runtime [--repeat 9]

Prints medians and the ratio to a floor measured in the same round; nothing is asserted. The floor starts the same
programs with `subprocess.Popen` and waits until each accepts a connection.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_coordchaos.clock import SystemClock
from pytest_coordchaos.runtimes.base import Address, NodeSpec
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.system.readiness import NodeProbe, ready_port
from pytest_coordchaos.system.waiting import wait_ready

ECHO = Path(__file__).parents[1] / "systems" / "programs" / "echo_server.py"
STEPS = ("start", "kill one", "restart one", "pause one", "stop")


async def main() -> None:
    """Guard once, then clusters of three and five nodes against their floors."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeat", type=int, default=9)
    repeat = arguments.parse_args().repeat
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        guard = await Guard.start(Path(directory), "bench")
        print(f"guard started, with its sweep: {1e3 * (time.perf_counter() - started):.0f} ms, once per session\n")
        print("| nodes | floor ms | start ms | ratio |", *(f"{step} ms |" for step in STEPS[1:]))
        print("| --- | --- | --- | --- |", *("--- |" for _ in STEPS[1:]))
        try:
            for nodes in (3, 5):
                rounds = [(floor(nodes), await cluster(guard, Path(directory), nodes)) for _ in range(repeat)]
                show(nodes, rounds)
        finally:
            await guard.aclose()


def show(nodes: int, rounds: list[tuple[float, dict[str, float]]]) -> None:
    """One line of the table."""
    ratio = statistics.median(times["start"] / bare for bare, times in rounds)
    middle = {step: 1e3 * statistics.median(times[step] for _, times in rounds) for step in STEPS}
    bare = 1e3 * statistics.median(bare for bare, _ in rounds)
    print(f"| {nodes} | {bare:.1f} | {middle['start']:.1f} | {ratio:.2f} |", *(f"{middle[step]:.1f} |" for step in STEPS[1:]))


async def cluster(guard: Guard, root: Path, nodes: int) -> dict[str, float]:
    """Seconds of each step of one cluster's life."""
    times: dict[str, float] = {}
    runtime = await ProcessRuntime.create(guard, "bench", root)
    lap = time.perf_counter()

    def done(step: str) -> None:
        nonlocal lap
        now = time.perf_counter()
        times[step], lap = now - lap, now

    addresses = await runtime.reserve(nodes)
    specs = [spec(f"n{index}", address, root) for index, address in enumerate(addresses)]
    probes = [NodeProbe(name=one.name, addresses={"tcp": at}) for one, at in zip(specs, addresses, strict=True)]
    await asyncio.gather(*(runtime.launch(one) for one in specs))
    await wait_ready(ready_port("tcp"), probes, runtime, SystemClock(), 20)
    done("start")
    await runtime.kill("n0")
    done("kill one")
    await runtime.launch(specs[0])
    await wait_ready(ready_port("tcp"), probes[:1], runtime, SystemClock(), 20)
    done("restart one")
    await runtime.pause("n0")
    done("pause one")
    await runtime.stop()
    done("stop")
    return times


def spec(name: str, address: Address, root: Path) -> NodeSpec:
    """A node that echoes."""
    return NodeSpec(name=name, argv=command(address), directory=root / name, listens=[address])


def command(address: Address) -> list[str]:
    """The program of a node, here and by hand."""
    return [sys.executable, "-I", "-S", str(ECHO), address[0], str(address[1]), "reuse"]


def floor(nodes: int) -> float:
    """Seconds until the same programs, started by hand, accept connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = free.getsockname()[1]
    addresses = [("127.0.0.1", 1024 + (first + index) % 30000) for index in range(nodes)]
    started = time.perf_counter()
    children = [subprocess.Popen(command(address), stdout=subprocess.DEVNULL) for address in addresses]
    for address in addresses:
        while not accepts(address):
            time.sleep(0.001)
    taken = time.perf_counter() - started
    for child in children:
        child.kill()
        child.wait()
    return taken


def accepts(address: Address) -> bool:
    """Whether a server listens there."""
    with socket.socket() as client:
        return client.connect_ex(address) == 0


if __name__ == "__main__":
    asyncio.run(main())
