"""A simulated cluster as tests see it: the same face as a `LiveCluster`, each call a request to the worker that runs it.

Virtual time goes on while a request is carried out, and stands still between two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import CapabilityError, CoordChaosError, UsageError
from pytest_coordchaos.fault_handle import Probe
from pytest_coordchaos.faults.model import Fault
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.faults.triggers import Trigger
from pytest_coordchaos.history.model import History
from pytest_coordchaos.relay.link_control import Hold, NothingHeld
from pytest_coordchaos.relay.wire import Mark
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.sim.runtime import SimRuntime
from pytest_coordchaos.simulation import campaigns
from pytest_coordchaos.simulation.client import Worker
from pytest_coordchaos.system.model import System
from pytest_coordchaos.workloads.model import Workload

__all__ = ["RemoteCluster", "RemoteHandle"]


class _Clock:
    """Virtual time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def now_ns(self) -> int:
        """Virtual nanoseconds."""
        return int(self._worker.ask("now_ns"))

    async def sleep(self, seconds: float) -> None:
        """Let virtual time go on."""
        campaigns.did()
        await asyncio.to_thread(self._worker.ask, "sleep", seconds)


class RemoteHandle:
    """A fault in force in the worker; see `fault_handle.FaultHandle`."""

    def __init__(self, worker: Worker, view: tuple[int, str, int, int | None, tuple[Probe, ...]]) -> None:
        self._worker = worker
        self.number, self.words, self.start_ns, self.end_ns, self.probes = view

    @property
    def verified(self) -> bool:
        """Every probe saw what it expected."""
        return all(probe.ok for probe in self.probes)

    async def undo(self) -> None:
        """Take it back. Idempotent."""
        if self.end_ns is None:
            self.end_ns = (await asyncio.to_thread(self._worker.ask, "undo", self.number))[3]


class _Relay:
    """The ledger's position, and what reports ask of a relay."""

    proxy = "relay"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        found: Mark = await asyncio.to_thread(self._worker.ask, "mark")
        return found

    def notes(self, since_ns: int) -> tuple[str, ...]:
        """None."""
        return ()


class _Recorder:
    """The history, which is in the worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def all(self) -> History:
        """Everything so far."""
        found: History = self._worker.ask("record", "all")
        return found

    def next_process(self) -> int:
        """A process number that was never handed out."""
        return int(self._worker.ask("record", "next_process"))

    def invoke(self, process: int, f: str, key: Any, value: Any, *, node: str | None = None) -> int:
        """An operation begins; returns its id."""
        campaigns.did()
        return int(self._worker.ask("record_by_hand", process, f, key, value, node))

    def ok(self, op_id: int, result: Any = None) -> None:
        """It happened."""
        self._worker.ask("record", "ok", op_id, result)

    def fail(self, op_id: int, error: str | None = None) -> None:
        """It surely did not happen."""
        self._worker.ask("record", "fail", op_id, error)

    def info(self, op_id: int, error: str | None = None) -> None:
        """Nobody knows."""
        self._worker.ask("record", "info", op_id, error)


class _Runtime:
    """What reports ask of a runtime."""

    name = "sim"
    capabilities = SimRuntime.capabilities

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def log(self, node: str) -> str:
        """What the node printed."""
        return str(self._worker.ask("look", "log", node))

    def exit_status(self, node: str) -> int | None:
        """Of the node's last life; None while it lives."""
        status: int | None = self._worker.ask("look", "exit_status", node)
        return status

    async def cpu_seconds(self, node: str) -> float:
        """0: processing is free in a simulation."""
        return 0.0


class RemoteCluster:
    """A simulated cluster. Made by `start`.

    Attributes:
        born: Where the ledger stood when every node was ready.
        stopped: It is over.
        trace: Hash of all that happened, once a workload was run.
    """

    def __init__(self, worker: Worker, system: System, directory: Path, reason: str) -> None:
        self._worker = worker
        self.system = system
        self.directory = directory
        self.runtime_reason = reason
        self.runtime = _Runtime(worker)
        self.relay = _Relay(worker)
        self.recorder = _Recorder(worker)
        self.clock = _Clock(worker)
        self.stopped = False
        self.trace = ""
        self.born: Mark

    @classmethod
    async def start(cls, system: System, *, root: Path, seed: int, asked: bool) -> RemoteCluster:
        """Start a system in a worker of its own; returns when every node is ready.

        Raises:
            StartError: A node exited or was not ready in time.
            CapabilityError: The system cannot be simulated.
        """
        await asyncio.to_thread(root.mkdir, parents=True)
        worker = await asyncio.to_thread(campaigns.worker, root / "worker.log")
        reason = "asked for" if asked else "its System gives coroutines"
        cluster = cls(worker, system, root, reason)
        keep_trace = campaigns.keeper is not None and campaigns.keeper.keep_trace
        try:
            cluster.born = await asyncio.to_thread(worker.ask, "start", system, seed, root, keep_trace)
        except BaseException:
            worker.close()
            raise
        return cluster

    # -- looking ---------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node names, in order."""
        return self.system.node_names

    @property
    def handles(self) -> list[RemoteHandle]:
        """Every fault that was ever applied."""
        return [RemoteHandle(self._worker, view) for view in self._worker.ask("handles")]

    def address(self, node: str, port: str) -> NoReturn:
        """Refused: there is no real address."""
        raise CapabilityError(
            f"address({node!r}, {port!r}): a simulated node has no real address; let a Client's coroutines, which run inside the "
            "simulation, call open_connection, or run this test on another runtime"
        )

    def state(self, node: str) -> NodeState:
        """Running, paused or dead."""
        found: NodeState = self._worker.ask("state", node)
        return found

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links."""
        found: Ledger = await self._ask("ledger", since, until)
        return found

    async def wait_role(self, name: str, timeout_s: float) -> str:
        """Wait until exactly one node holds the role."""
        campaigns.did()
        return str(await self._ask("call", "wait_role", name, timeout_s))

    # -- faults ----------------------------------------------------------------------------------

    async def apply(self, fault: Fault) -> RemoteHandle:
        """Put a fault in force."""
        campaigns.did()
        return RemoteHandle(self._worker, await self._ask("apply", fault))

    async def kill(self, node: str) -> RemoteHandle:
        """Kill a node."""
        campaigns.did()
        return RemoteHandle(self._worker, await self._ask("kill", node))

    async def lose_power(self, node: str) -> RemoteHandle:
        """Let a node's machine lose power."""
        campaigns.did()
        return RemoteHandle(self._worker, await self._ask("lose_power", node))

    async def when(self, trigger: Trigger, timeout_s: float) -> Hold | None:
        """Wait for a trigger; time stands still when this returns. None: it did not come."""
        return NothingHeld() if await self._ask("when", trigger, timeout_s) else None

    async def restart(self, node: str) -> None:
        """Start a dead node again."""
        campaigns.did()
        await self._ask("call", "restart", node)

    async def heal(self) -> None:
        """Undo everything."""
        campaigns.did()
        await self._ask("call", "heal")

    async def wait_healed(self, timeout_s: float = 30.0) -> None:
        """Wait until every node is ready again."""
        campaigns.did()
        await self._ask("call", "wait_healed", timeout_s)

    # -- load ------------------------------------------------------------------------------------

    async def perform(
        self, workload: Workload, plan: Plan, request: TestRequest, seed: int, known: Mapping[str, Invariant]
    ) -> Run:
        """One experiment, inside."""
        if campaigns.keeper is not None:
            campaigns.keeper.asked(campaigns.parts_of(self.system, workload, plan, request, known))
        run, self.trace = await self._ask("perform", workload, plan, request, seed, known)
        found: Run = run
        return found

    async def stop(self) -> None:
        """The simulation is over. Idempotent."""
        if not self.stopped:
            self.stopped = True
            await asyncio.to_thread(campaigns.give_back, self._worker)

    async def _ask(self, name: str, *arguments: Any) -> Any:
        if self.stopped:
            raise UsageError("the simulated cluster is stopped")
        try:
            return await asyncio.to_thread(self._worker.ask, name, *arguments)
        except asyncio.CancelledError:
            self._worker.close()  # it would go on computing for nobody
            raise
        except CoordChaosError as error:
            raise error.with_traceback(None) from None
