"""For tests of runtimes: one runtime per story, real programs, and looking at processes from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from pytest_coordchaos.clock import SystemClock
from pytest_coordchaos.runtimes.base import Address, NodeSpec
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.system.readiness import NodeProbe, Ready
from pytest_coordchaos.system.waiting import wait_ready

PROGRAMS = Path(__file__).with_name("programs")
DEADLINE_S = 20.0

Story = Callable[[ProcessRuntime, Path], Awaitable[None]]


@contextlib.asynccontextmanager
async def process_runtime(root: Path) -> AsyncIterator[ProcessRuntime]:
    """A guard of its own and one runtime; both are ended, whatever happens."""
    guard = await Guard.start(root, f"test-{os.getpid()}")
    try:
        runtime = await ProcessRuntime.create(guard, guard.run_id, root)
        try:
            yield runtime
        finally:
            await runtime.stop()
    finally:
        await guard.aclose()


def program(name: str, *arguments: object, node: str = "n1", root: Path, listens: list[Address] | None = None) -> NodeSpec:
    """A node that runs one of our small programs."""
    argv = [sys.executable, "-I", "-S", str(PROGRAMS / f"{name}.py"), *map(str, arguments)]
    return NodeSpec(name=node, argv=argv, directory=root / node, listens=listens)


async def until_ready(runtime: ProcessRuntime, ready: Ready, node: str = "n1", **addresses: Address) -> None:
    """Wait for a condition of one node."""
    probe = NodeProbe(name=node, addresses=addresses, read_log=lambda: runtime.log(node))
    await wait_ready(ready, [probe], runtime, SystemClock(), DEADLINE_S)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for anything else that can be looked at."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"still waiting for: {what}"
        await asyncio.sleep(0.002)


async def echoes(address: Address) -> bool:
    """Whether a server answers there; False when the connection is refused."""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return False
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    return answer == b"hello"


def can_be_bound(address: Address, *, reuse: bool) -> bool:
    """Whether somebody else could listen there now."""
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        try:
            rival.bind(address)
            rival.listen()
        except OSError:
            return False
        return True


def is_alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def daemon_pids(runtime: ProcessRuntime, node: str = "n1") -> list[int]:
    """What `daemons.py` said it started."""
    return [int(line.split()[1]) for line in runtime.log(node).splitlines() if line.startswith("daemon ")]


def of_run(run_id: str, root: Path) -> Iterator[int]:
    """Living processes that carry the run's label, or work in its directory (daemons that dropped their environment)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and is_alive(int(entry.name)):
            with contextlib.suppress(OSError):
                labelled = f"COORDCHAOS_RUN={run_id}\0".encode() in (entry / "environ").read_bytes()
                if labelled or Path(os.readlink(entry / "cwd")).is_relative_to(root):
                    yield int(entry.name)
