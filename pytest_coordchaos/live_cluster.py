"""A running System: the asynchronous core that nemesis, clients and workloads see.

Faults are a multiset of values; what is in force is always `resolve(the set)`: undo in any order is right by construction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.cost.ledger import Ledger, LinkId
from pytest_coordchaos.errors import FaultError, UsageError
from pytest_coordchaos.events import wait_event
from pytest_coordchaos.fault_handle import FaultHandle, Probe, Undo
from pytest_coordchaos.faults.checks import check_fault
from pytest_coordchaos.faults.model import DirectionState, Fault, FullDisk, MachineFault, Partition, Pause
from pytest_coordchaos.faults.resolve import describe, difference, resolve
from pytest_coordchaos.faults.triggers import Trigger
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.machine_control import MachineControl
from pytest_coordchaos.relay.link_control import Hold, LinkControl
from pytest_coordchaos.relay.wire import Mark, ProbeResult
from pytest_coordchaos.roles import role_holder, wait_holder
from pytest_coordchaos.runtimes.base import Address, NodeSpec, NodeState, Runtime
from pytest_coordchaos.system.model import CLIENTS, System
from pytest_coordchaos.system.port import Port
from pytest_coordchaos.system.readiness import NodeProbe, ready_port
from pytest_coordchaos.system.waiting import wait_each_ready
from pytest_coordchaos.wiring import Layout

__all__ = ["LiveCluster"]

_PORTS_AGAIN_S = 10.0


@dataclass(slots=True, eq=False, kw_only=True)
class LiveCluster:
    """A running System. Made by `starting.start_cluster`.

    Attributes:
        handles: Every fault that was ever applied, in order; those with `end_ns` None are in force.
        recorder: The history of all clients of this cluster, written as it happens.
    """

    system: System
    runtime: Runtime
    relay: LinkControl
    recorder: Recorder
    clock: Clock
    directory: Path
    layout: Layout
    links: Mapping[LinkId, Address]
    specs: Mapping[str, NodeSpec]
    runtime_reason: str
    born: Mark
    handles: list[FaultHandle] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _states: dict[LinkId, tuple[DirectionState, DirectionState]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _machines: MachineControl = field(init=False)
    stopped: bool = False

    def __post_init__(self) -> None:
        self._machines = MachineControl(self.system, self.runtime, self._faults)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node names, in order."""
        return self.system.node_names

    def address(self, node: str, port: str) -> Address:
        """Where a client reaches that port of the node: the client's own link, never the node itself."""
        self._check_nodes(node)
        self.system.port(node, port)
        return self.links[LinkId(CLIENTS, node, port)]

    async def open_connection(self, node: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a node's port as a client does, through the client's link."""
        return await asyncio.open_connection(*self.address(node, port))

    def state(self, node: str) -> NodeState:
        """Running, paused or dead."""
        self._check_nodes(node)
        return self.runtime.state(node)

    def probe(self, node: str) -> NodeProbe:
        """A probe of one node; it does not use links."""
        return NodeProbe(
            name=node,
            addresses={port.name: self.layout.bind[node, port.name] for port in self.system.ports_of(node)},
            source_host=self.layout.relay_source,
            connect=self.runtime.dialler(node),
            read_log=lambda: self.runtime.log(node),
            ask_health=lambda: self.runtime.health(node),
        )

    async def role(self, name: str) -> str | None:
        """The node that holds the role now; None when nobody, or more than one, claims it.

        Raises:
            UsageError: The System declares no such role.
        """
        alive = [node for node in self.nodes if self.state(node) is NodeState.RUNNING]
        return await role_holder(self.system, name, [self.probe(node) for node in alive])

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links between two marks (or until now)."""
        return await self.relay.ledger(since, until)

    # -- faults ----------------------------------------------------------------------------------

    async def apply(self, fault: Fault) -> FaultHandle:
        """Put a fault in force; it is proven by its probes when this returns.

        Raises:
            UsageError: It does not fit the system (`faults.checks.check_fault`).
        """
        check_fault(fault, self.nodes, self._ports, also=(CLIENTS,))
        start_ns = self.clock.now_ns()
        probes: tuple[Probe, ...] = ()
        if isinstance(fault, Pause):
            await self._pause(fault)
        elif isinstance(fault, MachineFault):
            self._machines.check(fault)
            probes = await self._machines.change(self._faults.append, fault)
        else:
            probes = await self._change(self._faults.append, fault)
        return self._in_force(describe(fault), start_ns, lambda: self._undo(fault), probes)

    async def kill(self, node: str) -> FaultHandle:
        """SIGKILL a node; the handle's undo restarts it. Killing a dead node is a UsageError."""
        start_ns = await self._silence("kill", node)
        await self.relay.reset_node(node)
        await self.runtime.kill(node)
        return self._in_force(f"kill {node}", start_ns, lambda: self._start_again(node))

    async def lose_power(self, node: str) -> FaultHandle:
        """A node's machine loses power: nobody hears of it, and what it did not sync is lost; the handle's undo restarts it."""
        self._machines.check_power(node)
        start_ns = await self._silence("lose_power", node)
        silent = Partition((frozenset((node,)), frozenset((*self.nodes, CLIENTS)) - {node}))
        probes = await self._change(self._faults.append, silent)
        await self.runtime.lose_power(node)

        async def power_is_back() -> None:
            await self._change(self._faults.remove, silent)
            await self._start_again(node)
            await self._machines.look_again(node, always=True)

        return self._in_force(f"power-loss {node}", start_ns, power_is_back, probes)

    async def when(self, trigger: Trigger, timeout_s: float) -> Hold | None:
        """Wait for a trigger, and hold the message that set it off; None: it did not come (see `events.wait_event`)."""
        return await wait_event(self, trigger, timeout_s)

    async def restart(self, node: str) -> None:
        """Start a dead node again on its ports and directory; returns when its ports accept.

        Raises:
            UsageError: The node is alive.
            StartError: It exited, or its ports did not open in time.
        """
        self._check_nodes(node)
        if self.state(node) is not NodeState.DEAD:
            raise UsageError(f"restart({node!r}): the node is alive; kill it first")
        for handle in self._down(node):
            await handle.undo()
        await self._start_again(node)

    async def heal(self) -> None:
        """Undo every fault, clocks and disks included, and restart dead nodes."""
        for handle in [h for h in self.handles if h.end_ns is None]:
            await handle.undo()
        dead = [node for node in self.nodes if self.state(node) is NodeState.DEAD]
        await asyncio.gather(*(self._start_again(node) for node in dead))

    async def wait_healed(self, timeout_s: float = 30.0) -> None:
        """Wait until every node is ready again, and a leader is known where the System declares that role.

        Raises:
            FaultError: A fault is still in force, or a node is dead: that would wait for ever.
            StartError: Not healed within `timeout_s`.
        """
        waiting = [handle.words for handle in self.handles if handle.end_ns is None]
        waiting += [f"{node} is dead" for node in self.nodes if self.state(node) is NodeState.DEAD]
        if waiting:
            raise FaultError(f"wait_healed: still in force: {'; '.join(dict.fromkeys(waiting))}; call heal() or undo first")
        await self.wait_ready(timeout_s)
        if "leader" in self.system.roles:
            await self.wait_role("leader", timeout_s)

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until every node fulfils its readiness condition."""
        conditions = [(self.system.ready_of(node), self.probe(node)) for node in self.nodes]
        wanted = [(ready, probe) for ready, probe in conditions if ready is not None]
        await wait_each_ready(wanted, self.runtime, self.clock, timeout_s)

    async def wait_role(self, name: str, timeout_s: float) -> str:
        """Wait until exactly one node holds the role; FaultError when nobody did in time: no guess is made."""
        return await wait_holder(name, lambda: self.role(name), self.nodes, self.clock, timeout_s)

    async def stop(self) -> None:
        """End all processes and give back ports. Idempotent."""
        if self.stopped:
            return
        self.stopped = True
        try:
            await self.relay.close()
        finally:
            await self.runtime.stop()
            self.recorder.close()

    async def launch(self, node: str) -> None:
        """Start a node's process, and have the relay watch its network where it has one of its own."""
        await self.runtime.launch(self.specs[node])
        if (reach := self.layout.reach.get(node)) is not None:
            await self.relay.watch(node, self.runtime.network_pid(node), reach.host, reach.ours)

    # -- inside ----------------------------------------------------------------------------------

    def _in_force(self, words: str, start_ns: int, undo: Undo, probes: tuple[Probe, ...] = ()) -> FaultHandle:
        handle = FaultHandle(words=words, start_ns=start_ns, undo_fault=undo, probes=probes, clock=self.clock)
        self.handles.append(handle)
        return handle

    def _down(self, node: str) -> list[FaultHandle]:
        """The faults in force that keep the node dead."""
        words = (f"kill {node}", f"power-loss {node}")
        return [handle for handle in self.handles if handle.words in words and handle.end_ns is None]

    async def _silence(self, verb: str, node: str) -> int:
        """Stop a node that is to die, so that it notices nothing of the resets; returns when."""
        self._check_nodes(node)
        if self.state(node) is NodeState.DEAD:
            raise UsageError(f"{verb}({node!r}): the node is dead already; restart it first")
        start_ns = self.clock.now_ns()
        if self.state(node) is NodeState.RUNNING:
            await self.runtime.pause(node)
        return start_ns

    @property
    def _ports(self) -> dict[LinkId, Port]:
        ports = {(node, port.name): port for node in self.system.node_names for port in self.system.ports_of(node)}
        return {link: ports[link.target, link.port] for link in self.links}

    async def _change(self, change: Callable[[Fault], None], fault: Fault) -> tuple[ProbeResult, ...]:
        async with self._turn:
            change(fault)
            framed = {link for link, port in self._ports.items() if port.independent}
            wanted = resolve(self._faults, self.links, frames=framed.__contains__)
            news, self._states = difference(self._states, wanted), wanted
            return await self.relay.apply(news) if news else ()

    async def _undo(self, fault: Fault) -> None:
        if self.stopped:
            return
        if isinstance(fault, Pause):
            self._faults.remove(fault)
            if fault not in self._faults and self.state(fault.node) is NodeState.PAUSED:
                await self.runtime.resume(fault.node)
                await self._machines.look_again(fault.node)
        elif isinstance(fault, MachineFault):
            await self._machines.change(self._faults.remove, fault)
            if isinstance(fault, FullDisk) and not self._down(fault.node):
                await self._start_again(fault.node)  # nodes end when their disk refuses
        else:
            await self._change(self._faults.remove, fault)

    async def _pause(self, fault: Pause) -> None:
        self._faults.append(fault)
        if self.state(fault.node) is NodeState.RUNNING:
            try:
                await self.runtime.pause(fault.node)
            except BaseException:
                self._faults.remove(fault)
                raise

    async def _start_again(self, node: str) -> None:
        if self.stopped or self.state(node) is not NodeState.DEAD:
            return
        await self.launch(node)
        try:
            if any(fault == Pause(node) for fault in self._faults):
                await self.runtime.pause(node)
                return
            again = [(ready_port(port.name), self.probe(node)) for port in self.system.ports_of(node) if port.accepts]
            await wait_each_ready(again, self.runtime, self.clock, _PORTS_AGAIN_S)
            await self._machines.look_again(node)
        finally:
            await self.relay.node_is_back(node)

    def _check_nodes(self, *names: str) -> None:
        for name in names:
            if name not in self.nodes:
                raise UsageError(f"There is no node {name!r}; the system's nodes are: {', '.join(self.nodes)}")
