"""The sim runtime for the contract tests: its nodes run coroutines that do what the small programs do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pytest_coordchaos.runtimes.base import Address, NodeSpec
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.runtimes.sim.burial import bury
from pytest_coordchaos.runtimes.sim.disk import DiskModel, SimDisk
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.link import NetworkModel
from pytest_coordchaos.runtimes.sim.loop import SimLoop
from pytest_coordchaos.runtimes.sim.network import Network
from pytest_coordchaos.runtimes.sim.runtime import Life, SimRuntime
from pytest_coordchaos.runtimes.sim.tape import Tape

__all__ = ["PORT", "SimNodes", "simulated"]

PORT = 10_007
_NAMES = ("n0", "n1", "n2")
_FRESH_S = 1.0


class SimNodes:
    """The runtime, and what its nodes show to whoever looks from outside."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self._beats: dict[tuple[str, int], float] = {}
        ledger, tape = SimLedger(), Tape(1)
        self.loop.network = network = Network(self.loop, ledger, NetworkModel(), tape.network, _NAMES, {PORT: ("tcp", None, {})})
        self._disks = {name: SimDisk(self.loop, name, DiskModel(), tape.disk, ledger) for name in _NAMES}
        self.runtime = SimRuntime(self.loop, network, dict.fromkeys(_NAMES, self._program), self._disks)

    def spec(self, name: str, *arguments: object, node: str) -> NodeSpec:
        """A node that runs the coroutine of that name."""
        return NodeSpec(name=node, argv=[name, *map(str, arguments)], directory=Path(node))

    async def echoes(self, address: Address) -> bool:
        """Whether n1 answers there; a machine without power does not even refuse."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"hello")
                answer = await reader.readexactly(5)
                writer.close()
                return answer == b"hello"
        except (ConnectionRefusedError, TimeoutError):
            return False

    async def size(self, name: str) -> int:
        """Bytes of a file of n1."""
        return len(await self._disks["n1"].read(name) or b"")

    async def alive(self, node: str) -> int:
        """How many daemons of the node are seen at work in the next second."""
        await asyncio.sleep(_FRESH_S)
        since = self.loop.time() - _FRESH_S / 2
        return sum(at > since for (owner, _), at in self._beats.items() if owner == node)

    # -- the programs ------------------------------------------------------------------------------

    async def _program(self, life: Life) -> None:
        name, *arguments = life.spec.argv
        await getattr(self, f"_{name}")(life, arguments)

    async def _counts(self, life: Life, arguments: list[str]) -> None:
        ticks = await life.disk.open_log("ticks")
        while True:
            ticks.append(b".")
            await asyncio.sleep(0.01)

    async def _daemons(self, life: Life, arguments: list[str]) -> None:
        daemons = [asyncio.ensure_future(self._daemon(life.node.name, number)) for number in range(int(arguments[0]))]
        print("all daemons are up")
        if "leave" not in arguments:
            await asyncio.gather(*daemons)

    async def _daemon(self, node: str, number: int) -> None:
        print("daemon", number)
        while True:
            self._beats[node, number] = self.loop.time()
            await asyncio.sleep(0.01)

    async def _echo_server(self, life: Life, arguments: list[str]) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, "0.0.0.0", int(arguments[1]))
        print("listening on", arguments[1])
        await server.serve_forever()

    async def _fails(self, life: Life, arguments: list[str]) -> None:
        print("configuration error: no such quorum", file=sys.stderr)
        raise SystemExit(3)

    async def _stubborn(self, life: Life, arguments: list[str]) -> None:
        print("I stay")
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                print("not me")


def simulated(story: Callable[[SimNodes], Awaitable[Any]]) -> None:
    """Tell a story in a simulation of its own."""
    nodes = SimNodes()
    patches.install()
    fences.install()
    try:
        nodes.loop.run(story(nodes), limit_s=1000)  # type: ignore[arg-type]  # stories are coroutine functions
    finally:
        bury(nodes.loop)
        fences.uninstall()
        patches.uninstall()
