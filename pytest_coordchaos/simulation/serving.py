"""What a worker does: one world that tests talk to, or one seed after the other. Every request lets virtual time go on."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.fault_handle import FaultHandle, Probe
from pytest_coordchaos.faults.model import Fault
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.faults.triggers import Trigger
from pytest_coordchaos.history.model import History
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.relay.wire import Mark
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.sim import patches
from pytest_coordchaos.runtimes.sim.clock import START_NS
from pytest_coordchaos.simulation.campaigns import Ended, Sent
from pytest_coordchaos.simulation.fingerprint import sources
from pytest_coordchaos.simulation.scenario import (
    Progress,
    Scenario,
    SeedResult,
    check_client,
    partitions_of,
    perform,
    perform_one,
)
from pytest_coordchaos.simulation.shipping import loads
from pytest_coordchaos.simulation.world import World
from pytest_coordchaos.system.model import System
from pytest_coordchaos.workloads.model import Workload

__all__ = ["HandleView", "Service"]

T = TypeVar("T")

HandleView = tuple[int, str, int, int | None, tuple[Probe, ...]]
"""(number, words, start_ns, end_ns, probes)"""


class Service:
    """The requests of one worker."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._scenario: Scenario | None = None

    # -- many seeds --------------------------------------------------------------------------------

    def take(self, scenario: Scenario) -> tuple[str, ...]:
        """The scenario of the seeds to come; returns its fault words."""
        self._scenario = scenario
        return scenario.faults

    def take_sent(self, sent: Sent) -> tuple[str, ...]:
        """The scenario of the seeds to come, as a test wrote it down; returns its fault words."""
        parts = loads(sent.parts)
        bound_s = parts["system"].live.within_s
        told = {"progress": Progress(within_s=bound_s) if bound_s else None, "swarm": True, **parts}
        return self.take(Scenario(**{**told, "swarm": sent.swarm and told["swarm"]}))

    def seed(self, seed: int) -> tuple[SeedResult, Run | None]:
        """Run one seed."""
        assert self._scenario is not None, "a scenario comes first"
        result, run, _ = perform(self._scenario, seed)
        return result, run if result.verdict != "held" else None

    def trace(self, seed: int, waste: int = 0) -> tuple[SeedResult, Run | None, tuple[str, ...]]:
        """Run one seed and keep its whole trace; `waste` objects are allocated first, so that addresses differ."""
        assert self._scenario is not None, "a scenario comes first"
        wasted = [bytearray(number % 512) for number in range(waste)]
        found = perform(self._scenario, seed, keep_trace=True)
        del wasted
        return found

    # -- one world ---------------------------------------------------------------------------------

    def start(self, system: System, seed: int, directory: Path, keep_trace: bool) -> Mark:
        """Start a system; returns when every node is ready."""
        patches.reseed(seed)
        self._world = world = World(system, seed, directory=directory, history=directory / "history.jsonl", keep_trace=keep_trace)
        try:
            world.run(_self_tested())
            return world.run(world.start()).born
        except BaseException:
            world.close()
            raise

    def perform(
        self, workload: Workload, plan: Plan, request: TestRequest, seed: int, known: Mapping[str, Invariant]
    ) -> tuple[Run, str]:
        """One experiment; returns the Run and the hash of all that happened so far."""
        world, cluster = self._both()
        check_client(workload, cluster.system)
        run = self._run(perform_one(world, cluster, workload, plan, request, seed, known))
        return run, world.loop.trace.digest

    def sleep(self, seconds: float) -> None:
        """Let virtual time go on."""
        self._run(self._both()[0].clock.sleep(seconds))

    def now_ns(self) -> int:
        """Virtual time."""
        return self._both()[0].clock.now_ns()

    def apply(self, fault: Fault) -> HandleView:
        """Put a fault in force."""
        return self._view(self._run(self._cluster.apply(fault)))

    def kill(self, node: str) -> HandleView:
        """Kill a node."""
        return self._view(self._run(self._cluster.kill(node)))

    def lose_power(self, node: str) -> HandleView:
        """Let a node's machine lose power."""
        return self._view(self._run(self._cluster.lose_power(node)))

    def when(self, trigger: Trigger, timeout_s: float) -> bool:
        """Wait for a trigger; False: it did not come."""
        return self._run(self._cluster.when(trigger, timeout_s)) is not None

    def undo(self, number: int) -> HandleView:
        """Take a fault back."""
        handle = self._cluster.handles[number]
        self._run(handle.undo())
        return self._view(handle)

    def handles(self) -> list[HandleView]:
        """Every fault there ever was."""
        return [self._view(handle) for handle in self._cluster.handles]

    def call(self, verb: str, *arguments: Any) -> Any:
        """A coroutine of the cluster whose result can travel: restart, heal, wait_healed, wait_ready, role, wait_role."""
        return self._run(getattr(self._cluster, verb)(*arguments))

    def mark(self) -> Mark:
        """Where the ledger stands."""
        return self._run(self._cluster.relay.mark())

    def ledger(self, since: Mark, until: Mark | None) -> Ledger:
        """What crossed the links."""
        return self._run(self._cluster.ledger(since, until))

    def state(self, node: str) -> NodeState:
        """Running, paused or dead."""
        return self._cluster.state(node)

    def look(self, what: str, node: str) -> Any:
        """The runtime's log or exit status of a node."""
        return getattr(self._cluster.runtime, what)(node)

    def record(self, what: str, *arguments: Any) -> Any:
        """A call of the recorder."""
        found = getattr(self._cluster.recorder, what)(*arguments)
        return found if isinstance(found, int | History) else None

    def record_by_hand(self, process: int, f: str, key: Any, value: Any, node: str | None) -> int:
        """An operation that a test performs itself begins now."""
        return self._cluster.recorder.invoke(process, f, key, value, node=node)

    def stop(self) -> Ended | None:
        """The world is over; returns what is left of it."""
        world, self._world = self._world, None
        if world is None:
            return None
        world.close()
        return Ended(
            nodes=world.system.node_names,
            digest=world.loop.trace.digest,
            virtual_s=(world.loop.now_ns - START_NS) / 1e9,
            partitions=partitions_of(world.cluster),
            lines=world.lines,
        )

    def sources(self) -> dict[str, str]:
        """The program's modules that are loaded here."""
        return sources()

    # -- inside ------------------------------------------------------------------------------------

    def _both(self) -> tuple[World, LiveCluster]:
        if self._world is None or self._world.cluster is None:
            raise UsageError("there is no simulated cluster; it was stopped")
        return self._world, self._world.cluster

    @property
    def _cluster(self) -> LiveCluster:
        return self._both()[1]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._both()[0].run(work)

    def _view(self, handle: FaultHandle) -> HandleView:
        number = next(place for place, known in enumerate(self._cluster.handles) if known is handle)
        return number, handle.words, handle.start_ns, handle.end_ns, handle.probes


async def _self_tested() -> None:
    patches.self_test()
