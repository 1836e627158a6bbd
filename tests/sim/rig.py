"""For tests of the simulator: a loop with a network of named nodes, and coroutines that run as one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import Context
from typing import Any

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.runtimes.sim.burial import bury
from pytest_coordchaos.runtimes.sim.clock import NodeClock
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.link import NetworkModel, Timing
from pytest_coordchaos.runtimes.sim.loop import SimLoop
from pytest_coordchaos.runtimes.sim.network import Network
from pytest_coordchaos.runtimes.sim.node import NODE, SimNode
from pytest_coordchaos.runtimes.sim.tape import Tape

CUT = DirectionState(mode=LinkMode.DROP)
REFUSED = DirectionState(mode=LinkMode.REFUSE)
PORT = 7000

STEADY = NetworkModel(
    nodes=Timing(base_ns=1_000_000),
    clients=Timing(base_ns=1_000_000),
    resets=0,
    datagram_loss=0,
    datagram_copies=0,
    longest_retry_ns=0,
)
"""One millisecond a packet, and nothing by chance."""


class Rig:
    """A loop, its network, and nodes a, b and c."""

    def __init__(self, model: NetworkModel = STEADY, seed: int = 1, protocol: str = "json-lines") -> None:
        self.loop = SimLoop()
        self.ledger = SimLedger()
        self.tape = Tape(seed)
        ports: Mapping[int, tuple[str, str, Mapping[int, str]]] = {PORT: ("rpc", protocol, {})}
        self.network = Network(self.loop, self.ledger, model, self.tape.network, ("a", "b", "c"), ports)
        self.loop.network = self.network
        self.nodes = {name: SimNode(name, 0, number, NodeClock()) for number, name in enumerate("abc", start=1)}
        self.network.lives.extend(self.nodes.values())

    def on(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run as that node."""
        context = Context()
        context.run(NODE.set, self.nodes[name])
        task: asyncio.Task[Any] = self.loop.create_task(work, context=context)
        return task

    def run(self, work: Coroutine[Any, Any, Any], limit_s: float = 1000.0) -> Any:
        """Until it is done."""
        try:
            return self.loop.run(work, limit_s=limit_s)
        finally:
            errors = [*self.loop.errors, *(line for node in self.nodes.values() for line in node.output)]
            bury(self.loop)
            assert errors == []

    def way(self, source: str, target: str, up: DirectionState, down: DirectionState = PASS) -> None:
        """Put a link's two ways into these states."""
        self.network.apply({LinkId(source, target, "rpc"): (up, down)})

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds so far."""
        return (self.loop.now_ns - 1_000_000_000_000) / 1e9


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends every line back."""
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def serve_echo() -> None:
    """An echo server, for ever."""
    server = await asyncio.start_server(echo, "0.0.0.0", PORT)
    await server.serve_forever()


async def ask(line: bytes = b"{}\n", host: str = "a") -> bytes:
    """Connect, ask once, close."""
    reader, writer = await asyncio.open_connection(host, PORT)
    writer.write(line)
    answer = await reader.readline()
    writer.close()
    return answer
