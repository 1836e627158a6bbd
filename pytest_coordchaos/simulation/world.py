"""One simulated world: kernel, network, disks and the cluster in it. Everything in it follows from a system and a seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pytest_coordchaos.cost.transcript import WRITES_PER_DELAY
from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.runtimes.base import Address
from pytest_coordchaos.runtimes.sim.burial import bury
from pytest_coordchaos.runtimes.sim.clock import ClockModel
from pytest_coordchaos.runtimes.sim.disk import DiskModel, SimDisk
from pytest_coordchaos.runtimes.sim.files import FileTree
from pytest_coordchaos.runtimes.sim.isolation import own_copy
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.link import NetworkModel
from pytest_coordchaos.runtimes.sim.loop import SimLoop
from pytest_coordchaos.runtimes.sim.network import PROBE_HOST, Network
from pytest_coordchaos.runtimes.sim.relay import SimRelay
from pytest_coordchaos.runtimes.sim.runtime import Life, Program, SimRuntime
from pytest_coordchaos.runtimes.sim.tape import Stream, Tape
from pytest_coordchaos.simulation.witness import WitnessLoop
from pytest_coordchaos.system.model import System
from pytest_coordchaos.wiring import Home, Layout, edges, node_specs

__all__ = ["Model", "SimClock", "World"]

T = TypeVar("T")

_FIRST_PORT = 7001
_HOME = Path("/sim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How the simulated machines behave.

    Args:
        network: Latencies and losses.
        disk: How long forced writes take.
        clocks: How wrong clocks are.
        boot_ns: A program begins to run within this after its start; until then its machine refuses connections.
    """

    network: NetworkModel = field(default_factory=NetworkModel)
    disk: DiskModel = field(default_factory=DiskModel)
    clocks: ClockModel = field(default_factory=ClockModel)
    boot_ns: int = 100_000_000

    @classmethod
    def unit(cls) -> Model:
        """Links between nodes take one millisecond, all else is free: latencies count sequential delays."""
        return cls(network=NetworkModel.unit(), disk=DiskModel.free(), clocks=ClockModel.exact(), boot_ns=0)

    @classmethod
    def counting(cls, unit_ns: int = 1_000_000) -> Model:
        """As `unit`, and forced writes take a thousandth: a time says how many delays and forced writes came before it."""
        disk = DiskModel(sync_ns=unit_ns // WRITES_PER_DELAY, sync_jitter_ns=0, sync_tail_ns=0)
        return cls(network=NetworkModel.unit(unit_ns), disk=disk, clocks=ClockModel.exact(), boot_ns=0)


class SimClock:
    """The experiment's clock: virtual time itself."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """Virtual nanoseconds."""
        return self._loop.now_ns

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)


class World:
    """One simulation of one system.

    Args:
        system: What runs.
        seed: Decides everything.
        model: How machines behave.
        directory: Named in records; nothing is written there but the history, and that only when `history` is given.
        history: Where operations are written as they happen; None: in memory only.
        keep_trace: Keep every record of the trace, not only its hash.
        tape: Choices to make instead of those drawn from the seed.
    """

    def __init__(
        self,
        system: System,
        seed: int,
        *,
        model: Model | None = None,
        directory: Path = Path("sim"),
        history: Path | None = None,
        keep_trace: bool = False,
        tape: Tape | None = None,
    ) -> None:
        model = model or Model()
        self.system = system
        self.seed = seed
        self.directory = directory
        self.tape = tape or Tape(seed)
        self.loop = WitnessLoop() if keep_trace else SimLoop()
        self.clock = SimClock(self.loop)
        self.recorder = Recorder(history, self.clock.now_ns)
        self.numbers = port_numbers(system)
        ledger = SimLedger()
        declared = {self.numbers[node, port.name]: port for node in system.node_names for port in system.ports_of(node)}
        ports = {number: (port.name, port.protocol, port.classes) for number, port in declared.items()}
        self.network = Network(self.loop, ledger, model.network, self.tape.network, system.node_names, ports)
        self.loop.network = self.network
        disks = {name: SimDisk(self.loop, name, model.disk, self.tape.disk, ledger) for name in system.node_names}
        boot_s = partial(_drawn_s, model.boot_ns, self.tape.boots)
        self.runtime = SimRuntime(self.loop, self.network, programs_of(system), disks, boot_s)
        self.disks = disks
        for disk in disks.values() if system.coroutines else ():
            disk.files = FileTree(disk)
        for name in system.node_names:
            model.clocks.set(self.runtime.clock(name), self.tape.clocks)
        self.cluster: LiveCluster | None = None

    def run(self, work: Coroutine[Any, Any, T], *, limit_s: float | None = None) -> T:
        """Let time go on until `work` is done."""
        return self.loop.run(work, limit_s=limit_s)

    async def start(self, reason: str = "asked for") -> LiveCluster:
        """Start every node; returns when all are ready.

        Raises:
            StartError: A node exited or was not ready in time.
        """
        bind: dict[tuple[str, str], Address] = {
            (node, port): (self.network.hosts[node], number) for (node, port), number in self.numbers.items()
        }
        layout = Layout(bind=bind, listen={}, hosts={}, relay_source=PROBE_HOST)
        links = {link: bind[link.target, link.port] for link in edges(self.system)}
        relay = SimRelay(self.network, self.numbers)
        home = Home(root=_HOME, python="python")  # the same words in every run: nothing is written there
        specs = node_specs(self.system, layout, links, home, self.seed % 2**32)
        for spec in specs.values():
            await self.runtime.launch(spec)
        self.cluster = cluster = LiveCluster(
            system=self.system,
            runtime=self.runtime,
            relay=relay,
            recorder=self.recorder,
            clock=self.clock,
            directory=self.directory,
            layout=layout,
            links=links,
            specs=specs,
            runtime_reason=reason,
            born=await relay.mark(),
        )
        await cluster.wait_ready(self.system.ready_timeout_s)
        cluster.born = await relay.mark()
        return cluster

    @property
    def lines(self) -> tuple[str, ...]:
        """The trace for people; () when it is not kept."""
        return tuple(self.loop.lines()) if isinstance(self.loop, WitnessLoop) else ()

    def close(self) -> None:
        """The world is over; nothing in it runs any more, not even clean-up. Idempotent."""
        self.recorder.close()
        bury(self.loop)
        for disk in self.disks.values():
            if disk.files is not None:
                disk.files.close()


def _drawn_s(bound_ns: int, draws: Stream) -> float:
    return draws.below(bound_ns) / 1e9 if bound_ns else 0.0


def port_numbers(system: System) -> dict[tuple[str, str], int]:
    """(node, port name) -> number: the declared one, else one number for each name."""
    spare = {port.name: _FIRST_PORT + place for place, port in enumerate(system.all_ports)}
    return {(node, port.name): port.number or spare[port.name] for node in system.node_names for port in system.ports_of(node)}


def programs_of(system: System) -> Mapping[str, Program]:
    """What each node runs in a simulation.

    Raises:
        CapabilityError: The system is made of real programs.
    """
    if system.coroutines:
        return {name: _own_program(main) for name, main in system.coroutines.items()}
    if system.entry is None:
        raise CapabilityError(
            f"System({system.name!r}) gives a command, and a real program cannot run in sim; "
            "give entry='module:function', or System.from_coroutines(…)"
        )
    host = import_module(f"{system.host}.simulated")
    return dict.fromkeys(system.node_names, _hosted(host.run, system.entry))


def _own_program(main: Callable[[], Awaitable[Any]]) -> Program:
    async def program(life: Life) -> None:
        own, modules, note = own_copy(main, life.node.name)
        if note:
            life.node.output.append(f"--- coordchaos: {note} ---\n")
        life.node.modules, life.node.files = modules, life.disk.files
        await own()

    return program


def _hosted(run: Callable[..., Coroutine[Any, Any, None]], entry: str) -> Program:
    async def program(life: Life) -> None:
        document = life.document
        await run(
            entry,
            document,
            disk=life.disk,
            wall=life.wall,
            incarnation=life.node.incarnation,
            read_again=lambda: document,
        )

    return program
