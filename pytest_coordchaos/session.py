"""One test session: its loop, its guard, its clusters, and the window of the test that runs now."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.clock import Clock, SystemClock
from pytest_coordchaos.cluster import Cluster
from pytest_coordchaos.errors import CapabilityError, CoordChaosError, UsageError
from pytest_coordchaos.experiment import Experiment, by_hand, measure_idle, write_up
from pytest_coordchaos.faults import plan as plans
from pytest_coordchaos.faults import plan_file
from pytest_coordchaos.faults import words as fault_words
from pytest_coordchaos.faults.checks import check_machines, check_ports
from pytest_coordchaos.ground import Ground
from pytest_coordchaos.history.model import History
from pytest_coordchaos.hops import second_hop
from pytest_coordchaos.judging import Evidence, faults_not_injected, nothing_recorded, other_size
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.open_test import OpenTest
from pytest_coordchaos.portal import Portal
from pytest_coordchaos.relay.control_client import Mark
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.simulation.remote import RemoteCluster
from pytest_coordchaos.starting import start_cluster
from pytest_coordchaos.system.model import System
from pytest_coordchaos.verdicts import Status
from pytest_coordchaos.workloads.model import Workload

if TYPE_CHECKING:
    import pytest

    from pytest_coordchaos.settings import Settings
    from pytest_coordchaos.simulation.explore import Exploration

__all__ = ["Session"]

__tracebackhide__ = True  # pytest shows the line of the fixture that started, not ours


class Session:
    """What the session fixture `coordchaos` gives: `start(system)` and nothing else you need to know.

    Args:
        settings: The options in force.
        root: Directory under which every file of the session is written.
        worker: Name of the xdist worker, or "main".
        invariants: Invariants known beside the built-in ones.
        clock: Time; a simulator gives another.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        root: Path,
        worker: str = "main",
        invariants: Mapping[str, Invariant] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.portal = Portal()
        self.run_id = f"{settings.run_id or secrets.token_hex(4)}-{worker}-{os.getpid()}"
        self._root = root
        self._clock: Clock = clock or SystemClock()
        self._known = {**INVARIANTS, **(invariants or {})}
        self._ground: Ground | None = None
        self._clusters: list[Cluster] = []
        self._started = self._planned = 0
        self._window: OpenTest | None = None
        self._keep: set[Cluster] = set()

    # -- for tests and fixtures --------------------------------------------------------------------

    @contextlib.contextmanager
    def start(self, system: System) -> Iterator[Cluster]:
        """Start a System; it is stopped when the block ends, whatever happens.

        Raises:
            StartError: A node exited or was not ready in time.
            CapabilityError: This machine cannot give what the System needs.
        """
        self._started += 1
        root = self._root / f"{system.name}-{self._started}"
        cluster = Cluster(self.portal.call(self._start(system, root)), self)
        self._clusters.append(cluster)
        if self._window is not None:
            self._window.marks[cluster] = cluster.live.born
        try:
            yield cluster
        finally:
            self._clusters.remove(cluster)
            try:
                self._conclude_early(cluster)
            finally:
                self.portal.call(cluster.live.stop())
                self._tidy(cluster)

    def nodes_for(self, request: pytest.FixtureRequest, default: int) -> int:
        """The number of nodes the closest `coordchaos` marker asks for, else the default."""
        asked = self._window.request.nodes if self._window else None
        return asked if asked is not None else default

    # -- for the plugin ------------------------------------------------------------------------------

    @property
    def touched(self) -> bool:
        """Whether the current test used a cluster."""
        return self._window is not None and bool(self._window.used)

    def begin_test(self, request: TestRequest) -> None:
        """Open the window of a test on every cluster that is up."""
        window = OpenTest(request=request, start_ns=self._clock.now_ns())
        for cluster in self._clusters:
            window.marks[cluster] = self.portal.call(cluster.live.relay.mark())
        self._window = window

    def end_test(self, *, failed: bool = False) -> tuple[Run, ...]:
        """Close the window: every Run of the test with its verdicts. Faults the test left in force are undone."""
        window, self._window = self._window, None
        if window is None:
            return ()
        try:
            runs = self.portal.call(self._close_window(window))
        finally:
            for cluster in window.used:
                self.portal.call(_undo_since(cluster, window.begun_ns(cluster)))
        if failed or any(run.status is not Status.HELD for run in runs if run.verdicts):
            self._keep.update(window.used)
        return runs

    def close(self) -> None:
        """Stop everything. Idempotent; does nothing in a forked child."""
        if not self.portal.ours:
            return
        ground, self._ground = self._ground, None
        for cluster in self._clusters[:]:
            with contextlib.suppress(CoordChaosError, OSError):
                self.portal.call(cluster.live.stop())
        self._clusters.clear()
        if ground is not None:
            self.portal.call(ground.aclose())
        self.portal.close()

    # -- for Cluster -----------------------------------------------------------------------------------

    def touch(self, cluster: Cluster) -> None:
        """The current test uses this cluster."""
        if self._window is not None:
            self._window.used[cluster] = None

    def mark_of(self, cluster: Cluster) -> Mark:
        """Where the current test's window begins on a cluster."""
        marks = self._window.marks if self._window is not None else {}
        return marks.get(cluster, cluster.live.born)

    async def run_workload(
        self,
        cluster: Cluster,
        workload: str | Workload,
        seconds: float | None,
        faults: Iterable[str] | None,
        options: Mapping[str, Any],
    ) -> Run:
        """Draw a plan from the test's seed and perform one experiment."""
        window = self._window or OpenTest(request=TestRequest(test="", seed=self.settings.seed or 0), start_ns=0)
        request = window.request
        window.drawn += 1
        seed = request.seed + window.drawn - 1
        if isinstance(faults, str):
            raise UsageError(f"run(faults={faults!r}) is one text; allowed: a list of fault words")
        length_s = plans.checked_seconds(seconds if seconds is not None else request.seconds)
        words = [fault_words.parse(word) for word in (request.faults if faults is None else faults)]
        fault_words.check_nodes(words, cluster.nodes, cluster.system.roles)
        check_ports(words, cluster.system.all_ports)
        check_machines(words, cluster.system, cluster.live.runtime)
        plan = plans.draw(words, cluster.nodes, length_s, seed)
        self._planned += 1
        plan_file.save(plan, cluster.directory / f"plan-{self._planned}.json")
        run = await self._perform(cluster, cluster.named_workload(workload, options), plan, request, seed)
        window.runs.append((cluster, run))
        return run

    async def _perform(self, cluster: Cluster, workload: Workload, plan: plans.Plan, request: TestRequest, seed: int) -> Run:
        live = cluster.live
        if isinstance(live, RemoteCluster):
            return await live.perform(workload, plan, request, seed, self._own_invariants())
        experiment = Experiment(
            cluster=live, workload=workload, plan=plan, request=request, seed=seed, clock=self._clock, known=self._known
        )
        return await experiment.perform()

    def _own_invariants(self) -> dict[str, Invariant]:
        return {name: one for name, one in self._known.items() if name not in INVARIANTS}

    async def explore(self, cluster: Cluster, workload: Workload, **how: Any) -> Exploration:
        """Simulate the cluster's System with many seeds (see `Cluster.explore`); the verdict is the test's."""
        from pytest_coordchaos.simulation.exploring import explore_system

        request = self._window.request if self._window else TestRequest(test="", seed=self.settings.seed or 0)
        exploration, run = await explore_system(cluster.system, workload, request, self._own_invariants(), **how)
        if self._window is not None:
            self._window.runs.append((cluster, run))
        return exploration

    # -- inside ----------------------------------------------------------------------------------------

    def _conclude_early(self, cluster: Cluster) -> None:
        """A cluster that stops inside its test is judged before it goes."""
        window = self._window
        if window is None or cluster not in window.used:
            return
        run = self.portal.call(self._hand_run(window, cluster))
        window.early += [] if run is None else [run]
        window.sizes.add(len(cluster.nodes))
        del window.used[cluster]
        if any(one.status is not Status.HELD for one in (*window.early, *(run for _, run in window.runs)) if one.verdicts):
            self._keep.add(cluster)

    async def _start(self, system: System, root: Path) -> LiveCluster | RemoteCluster:
        request = self._window.request if self._window else TestRequest(test="", seed=self.settings.seed or 0)
        asked = request.runtime or self.settings.runtime
        if system.coroutines or asked == "sim":
            if asked not in ("", "sim", "auto"):
                raise CapabilityError(f"System({system.name!r}) is made of coroutines, and runtime {asked} runs none")
            return await RemoteCluster.start(system, root=root, seed=request.seed, asked=asked == "sim")
        if self._ground is None:
            self._ground = await Ground.start(
                self._root, self.run_id, base_image=self.settings.base_image, relay=self.settings.relay
            )
        return await start_cluster(
            system,
            ground=self._ground,
            root=root,
            seed=request.seed % 2**32,
            clock=self._clock,
            asked_runtime=asked,
            second=second_hop(request.proxy or self.settings.proxy, self.settings.toxiproxy),
        )

    async def _close_window(self, window: OpenTest) -> tuple[Run, ...]:
        runs = [*(run for _, run in window.runs), *window.early]
        for cluster in window.used:
            hand = await self._hand_run(window, cluster)
            if hand is not None:
                runs.append(hand)
        request = window.request
        sizes = window.sizes | {len(cluster.nodes) for cluster in window.used}
        if runs and sizes and request.nodes is not None and request.nodes not in sizes:
            runs[-1] = replace(runs[-1], verdicts=(*runs[-1].verdicts, other_size(request.nodes, sizes)))
        if not runs and (request.invariants or request.budgets or request.faults):
            runs.append(nothing_recorded(request, window.start_ns, self._clock.now_ns()))
        elif request.faults and not window.runs:
            runs[-1] = replace(runs[-1], verdicts=(*runs[-1].verdicts, faults_not_injected(request)))
        return tuple(runs)

    async def _hand_run(self, window: OpenTest, cluster: Cluster) -> Run | None:
        """The Run of operations recorded by hand; None when there is nothing to say of them."""
        live, request, begun_ns = cluster.live, window.request, window.begun_ns(cluster)
        everything = live.recorder.all()
        inside = History(tuple(op for op in everything if op.invoke_ns >= begun_ns))
        in_runs = {op.id for owner, run in window.runs if owner is cluster for op in run.history}
        asked = bool(request.invariants or request.budgets)
        if all(op.id in in_runs for op in inside) and (in_runs or not asked):
            return None
        ledger = await live.ledger(window.marks.get(cluster, live.born))
        evidence = Evidence(
            system=live.system,
            whole=everything,
            window=inside,
            start_ns=begun_ns,
            ledger=ledger,
            faults=by_hand(live, begun_ns, ledger.end_ns),
            idle=await measure_idle(live, request, live.clock, ledger),
        )
        return await write_up(live, request, None, evidence, known=self._known, seed=request.seed)

    def _tidy(self, cluster: Cluster) -> None:
        """Remove the cluster's directory unless somebody will want to read it."""
        if not self.settings.keep and cluster not in self._keep:
            shutil.rmtree(cluster.directory, ignore_errors=True)
        self._keep.discard(cluster)


async def _undo_since(cluster: Cluster, start_ns: int) -> None:
    for handle in cluster.live.handles:
        if handle.end_ns is None and handle.start_ns >= start_ns:
            await handle.undo()
