"""What the contract tests need of each runtime: a fresh one per story, and how to look at its nodes from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_coordchaos.runtimes.base import Address, NodeSpec
from tests.requirements import require
from tests.systems.docker.engine import BASE, no_engine
from tests.systems.process_rig import DEADLINE_S, PROGRAMS, can_be_bound, daemon_pids, is_alive, process_runtime, program
from tests.systems.sim_rig import PORT, SimNodes, simulated

Story = Callable[[Any, "Rig"], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A runtime and the place of its nodes.

    Args:
        runtime: The runtime, typed loosely: stories use what every runtime has.
        root: The directory below which nodes have theirs, as they see it.
        outside: A directory of this machine.
    """

    runtime: Any
    root: Path
    outside: Path

    def node(self, *argv: str, **more: Any) -> NodeSpec:
        """A node n1 that runs a command."""
        return NodeSpec(name="n1", argv=argv, directory=self.root / "n1", **more)

    def program(self, name: str, *arguments: object, node: str = "n1", listens: list[Address] | None = None) -> NodeSpec:
        """A node that runs one of our small programs."""
        return program(name, *arguments, node=node, root=self.root, listens=listens)

    async def address(self) -> Address:
        """Where n1 can listen."""
        return (await self.runtime.reserve(1))[0]  # type: ignore[no-any-return]  # the runtime is typed loosely

    async def echoes(self, address: Address) -> bool:
        """Whether n1 answers there; False when the connection is refused."""
        dial = self.runtime.dialler("n1")
        try:
            dialled = asyncio.open_connection(*address) if dial is None else asyncio.open_connection(sock=await dial(address))
            reader, writer = await dialled
        except ConnectionRefusedError:
            return False
        writer.write(b"hello")
        answer = await reader.readexactly(5)
        writer.close()
        return answer == b"hello"

    async def size(self, name: str) -> int:
        """Bytes of a file of n1; 0 while there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "n1" / name).stat().st_size
        return 0

    async def until_larger(self, name: str, size: int) -> None:
        """Wait until a file of n1 is larger than so many bytes."""
        deadline = time.monotonic() + DEADLINE_S
        while await self.size(name) <= size:
            assert time.monotonic() < deadline, f"still waiting for {name} to be larger than {size} bytes"
            await asyncio.sleep(0.002)

    def can_be_bound(self, address: Address, *, reuse: bool) -> bool:
        """Whether somebody else could listen there now."""
        return can_be_bound(address, reuse=reuse)

    async def alive(self, node: str = "n1") -> int:
        """How many of the daemons that a node said it started are alive."""
        return sum(map(is_alive, daemon_pids(self.runtime, node)))


@dataclass(frozen=True, kw_only=True)
class DockerRig(Rig):
    """Nodes as containers: programs are files of theirs."""

    def node(self, *argv: str, **more: Any) -> NodeSpec:
        return NodeSpec(name="n1", argv=argv, directory=self.root / "n1", image=BASE, **more)

    def program(self, name: str, *arguments: object, node: str = "n1", listens: list[Address] | None = None) -> NodeSpec:
        argv = ["python3", "-I", "-S", f"{name}.py", *map(str, arguments)]
        files = {f"{name}.py": (PROGRAMS / f"{name}.py").read_text()}
        return NodeSpec(name=node, argv=argv, directory=self.root / node, image=BASE, files=files)

    async def address(self) -> Address:
        return self.runtime.host("n1"), PORT

    async def size(self, name: str) -> int:
        from pytest_coordchaos.runtimes.docker_engine import EngineError

        id, engine = self.runtime._members["n1"].id, self.runtime._docker.engine
        try:
            stat = await engine.run(lambda client: client.get_archive(id, str(self.root / "n1" / name))[1])
        except EngineError:
            return 0
        return int(stat["size"])

    async def alive(self, node: str = "n1") -> int:
        return self._alive(node)

    def _alive(self, node: str) -> int:
        """Processes of this machine that are in the node's control group and have one of the pids there."""
        id, pids = self.runtime._members[node].id, set(daemon_pids(self.runtime, node))
        found = 0
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and id in (entry / "cgroup").read_text() and is_alive(int(entry.name)):
                    (numbers,) = (line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:"))
                    found += int(numbers.split()[-1]) in pids
        return found


@dataclass(frozen=True, kw_only=True)
class SimRig(Rig):
    """Nodes as coroutines."""

    nodes: SimNodes

    def program(self, name: str, *arguments: object, node: str = "n1", listens: list[Address] | None = None) -> NodeSpec:
        return self.nodes.spec(name, *arguments, node=node)

    async def address(self) -> Address:
        return "n1", PORT

    async def echoes(self, address: Address) -> bool:
        return await self.nodes.echoes(address)

    async def size(self, name: str) -> int:
        return await self.nodes.size(name)

    def can_be_bound(self, address: Address, *, reuse: bool) -> bool:
        """No: a simulated node's address is nobody else's."""
        return False

    async def alive(self, node: str = "n1") -> int:
        return await self.nodes.alive(node)


@contextlib.asynccontextmanager
async def _process(root: Path) -> AsyncIterator[Rig]:
    async with process_runtime(root) as runtime:
        yield Rig(runtime=runtime, root=root, outside=root)


@contextlib.asynccontextmanager
async def _docker(root: Path) -> AsyncIterator[Rig]:
    require("docker", no_engine() is None, no_engine() or "")
    from pytest_coordchaos.runtimes.docker import DockerRuntime
    from pytest_coordchaos.runtimes.docker_session import Docker
    from pytest_coordchaos.runtimes.guard import Guard

    run_id = f"test-{os.getpid()}"
    async with contextlib.AsyncExitStack() as stack:
        guard = await Guard.start(root, run_id)
        stack.push_async_callback(guard.aclose)
        docker = await Docker.open(root, run_id, base=BASE)
        stack.push_async_callback(docker.aclose)
        runtime = await DockerRuntime.create(docker, guard, run_id, root, {"relay": ()})
        stack.push_async_callback(runtime.stop)
        yield DockerRig(runtime=runtime, root=Path("/coordchaos"), outside=root)


def _real(rig: Callable[[Path], contextlib.AbstractAsyncContextManager[Rig]]) -> Callable[[Path, Story], None]:
    async def whole(root: Path, story: Story) -> None:
        async with rig(root) as made:
            await story(made.runtime, made)

    return lambda root, story: asyncio.run(whole(root, story))


def _sim(root: Path, story: Story) -> None:
    simulated(lambda nodes: story(nodes.runtime, SimRig(runtime=nodes.runtime, root=Path(), outside=root, nodes=nodes)))


RUNTIMES: dict[str, Callable[[Path, Story], None]] = {"process": _real(_process), "docker": _real(_docker), "sim": _sim}
"""Runtime -> tells a story on a fresh one."""
