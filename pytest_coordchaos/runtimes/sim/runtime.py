"""The `sim` runtime: a node's life is a coroutine in a context of its own; killing it means never running it again."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import CapabilityError, FaultError, StartError, UsageError
from pytest_coordchaos.faults.machines import MachineProbe, MachineState, judged
from pytest_coordchaos.runtimes.base import Address, Capability, NodeSpec, NodeState, check_files
from pytest_coordchaos.runtimes.sim.clock import NodeClock
from pytest_coordchaos.runtimes.sim.disk import SimDisk
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.network import Network
from pytest_coordchaos.runtimes.sim.node import NODE, SimNode

__all__ = ["Life", "Program", "SimRuntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a program is given for one life of its node.

    Args:
        node: The life itself.
        spec: How it was to be started; `document` is its node.json, {} where there is none.
        disk: The machine's disk.
        wall: Seconds since 1970 by the machine's wall clock.
    """

    node: SimNode
    spec: NodeSpec
    disk: SimDisk
    wall: Callable[[], float]

    @property
    def document(self) -> dict[str, Any]:
        """The node's node.json."""
        found: dict[str, Any] = json.loads(self.spec.files.get("node.json", "{}"))
        return found


Program = Callable[[Life], Coroutine[Any, Any, Any]]
"""What a node runs."""


class SimRuntime:
    """Implements `runtimes.base.Runtime`.

    Args:
        programs: What each node runs.
        disks: Each machine's disk.
        boot_s: Draws how many seconds a program takes to begin; None: none.
    """

    name = "sim"
    capabilities = frozenset(
        {
            Capability.CLOCKS,
            Capability.DISK_SYNCS,
            Capability.DISK_FAULTS,
            Capability.MESSAGE_EVENTS,
            Capability.SYNC_EVENTS,
        }
    )

    def __init__(
        self,
        loop: Kernel,
        network: Network,
        programs: Mapping[str, Program],
        disks: Mapping[str, SimDisk],
        boot_s: Callable[[], float] | None = None,
    ) -> None:
        self._loop = loop
        self._network = network
        self._programs = programs
        self._disks = disks
        self._boot_s = boot_s
        self._lives: dict[str, SimNode] = {}
        self._clocks = {name: NodeClock() for name in programs}
        self._logs: dict[str, list[str]] = {name: [] for name in programs}
        self._status: dict[str, int | None] = {}
        self._stopped = False
        loop.exited = self._exited

    # -- lives -------------------------------------------------------------------------------------

    async def launch(self, spec: NodeSpec) -> None:
        """Start a node (again): a new life on the same machine, disk and clock."""
        if self._stopped:
            raise StartError(f"Node {spec.name} did not start: the cluster has been stopped")
        if self.state(spec.name) is not NodeState.DEAD:
            raise UsageError(f"launch({spec.name!r}): the node is alive; kill it first")
        check_files(spec)
        before, log = self._lives.get(spec.name), self._logs[spec.name]
        incarnation = 0 if before is None else before.incarnation + 1
        if before is not None:
            log.append(f"--- coordchaos: {spec.name} is started again (start {incarnation + 1}) ---\n")
        number = 1 + list(self._programs).index(spec.name) + incarnation * len(self._programs)
        node = SimNode(spec.name, incarnation, number, self._clocks[spec.name])
        node.output = log
        self._lives[spec.name] = node
        self._network.lives.append(node)
        self._status[spec.name] = None
        self._network.booted(spec.name)
        context = Context()
        context.run(NODE.set, node)
        task = self._loop.create_task(self._live(node, spec), name=f"{spec.name}#{incarnation}", context=context)
        task.add_done_callback(lambda task: self._ended(node, task), context=Context())

    async def _live(self, node: SimNode, spec: NodeSpec) -> None:
        """A life, from the moment on at which the process is there: its program takes a while to begin."""
        wait_s = self._boot_s() if self._boot_s else 0.0
        if wait_s:
            await asyncio.sleep(wait_s)
        wall = partial(self._wall, node)
        await self._programs[node.name](Life(node=node, spec=spec, disk=self._disks[node.name], wall=wall))

    def _wall(self, node: SimNode) -> float:
        return node.clock.wall_ns(self._loop.now_ns) / 1e9

    def _ended(self, node: SimNode, task: Any) -> None:
        """Its main returned or raised: the process is over, whatever else it had running."""
        error = None if task.cancelled() else task.exception()
        if node.dead:
            return  # it has exited, and that was its last word
        if error is not None:
            node.output.append("".join(traceback.format_exception(error)))
        self._over(node, 1 if error is not None or task.cancelled() else 0)

    def _exited(self, node: SimNode, leaving: SystemExit) -> None:
        code = leaving.code
        if isinstance(code, str):
            node.output.append(code + "\n")
        self._over(node, code if isinstance(code, int) else int(code is not None))

    def _over(self, node: SimNode, status: int) -> None:
        if not node.dead:
            node.halted = node.dead = True
            self._status[node.name] = status
            self._network.died(node, power=True)

    async def kill(self, node: str) -> None:
        """Never run the node's present life again. Its machine lives on: it keeps what was written, and resets connections."""
        self._end(node, power=True)

    async def lose_power(self, node: str) -> None:
        """The node's machine loses power: its life is over, peers hear nothing, and what was not synced is lost or torn."""
        if (life := self._end(node, power=False)) is not None:
            lost = self._disks[node].lose_power()
            life.output.append(f"--- coordchaos: the machine of {node} lost power; {lost} unsynced changes are gone ---\n")

    def _end(self, node: str, *, power: bool) -> SimNode | None:
        life = self._lives.get(node)
        if life is None or life.dead:
            return None
        life.halted = life.dead = True
        self._status[node] = -9
        self._network.died(life, power=power)
        return life

    async def set_machine(self, node: str, state: MachineState) -> MachineProbe:
        """Make a machine's clock and disk as faults want them; they are when this returns."""
        clock, disk, now_ns = self._clocks[node], self._disks[node], self._loop.now_ns
        clock.set_fault(round(state.offset_s * 1e9), state.rate, now_ns)
        disk.slow_ns, disk.full = round(state.sync_ms * 1e6), state.full
        if (life := self._lives.get(node)) is not None:
            self._loop.retime(life)
        ahead_s, rate = clock.seen(now_ns)
        return judged(node, state, ahead_s=ahead_s, rate=rate, sync_ms=disk.slow_ns / 1e6, full=disk.full)

    async def pause(self, node: str) -> None:
        """Run nothing of the node until it is resumed."""
        self._alive("pause", node).halted = True

    async def resume(self, node: str) -> None:
        """Run what was put aside, in order, and go on."""
        life = self._alive("resume", node)
        if life.halted:
            self._loop.wake(life)

    def _alive(self, verb: str, node: str) -> SimNode:
        life = self._lives.get(node)
        if life is None or life.dead:
            raise FaultError(f"{verb}({node!r}): {node} is dead")
        return life

    # -- looking -----------------------------------------------------------------------------------

    def state(self, node: str) -> NodeState:
        """Running, paused or dead."""
        life = self._lives.get(node)
        if life is None or life.dead:
            return NodeState.DEAD
        return NodeState.PAUSED if life.halted else NodeState.RUNNING

    def exit_status(self, node: str) -> int | None:
        """Of the node's last life (-9: killed); None while it lives."""
        return self._status.get(node)

    def command(self, node: str) -> str:
        """What runs, for messages."""
        return f"simulated {node}"

    async def health(self, node: str) -> str:
        """ "": simulated nodes have no health check of their own."""
        return ""

    def log(self, node: str) -> str:
        """What the node printed, all lives."""
        return "".join(self._logs.get(node, ()))

    def clock(self, node: str) -> NodeClock:
        """The machine's clock; change it to skew the node."""
        return self._clocks[node]

    async def cpu_seconds(self, node: str) -> float:
        """0: processing is free in a simulation."""
        return 0.0

    # -- what only real machines have --------------------------------------------------------------

    async def reserve(self, count: int, *, host: str = "127.0.0.1") -> list[Address]:
        """Refused: simulated nodes have addresses of their own."""
        raise CapabilityError("runtime sim reserves no ports: its nodes have addresses of their own")

    async def claim_hosts(self, count: int) -> list[str]:
        """Refused: simulated nodes have addresses of their own."""
        raise CapabilityError("runtime sim claims no addresses: its nodes have addresses of their own")

    def dialler(self, node: str) -> None:
        """None: nodes are dialled through the loop."""

    def network_pid(self, node: str) -> int:
        """0: there are no processes."""
        return 0

    async def spawn_helper(
        self, name: str, argv: Sequence[str], *, log: Path, pass_env: Mapping[str, str], lends: Sequence[Address] = ()
    ) -> int:
        """Refused: nothing real runs beside a simulation."""
        raise CapabilityError(f"runtime sim starts no process ({name}): nothing real runs beside a simulation")

    async def stop(self) -> None:
        """Every node is over. Idempotent."""
        self._stopped = True
        for node in self._lives.values():
            node.halted = node.dead = True
            if self._status[node.name] is None:
                self._status[node.name] = -9
