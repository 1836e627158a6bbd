"""The cluster as tests see it: synchronous verbs that act when called."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.cluster_faults import ActiveFault, AnyHandle, FaultVerbs
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.errors import FaultError, UsageError
from pytest_coordchaos.faults.model import Fault, Pause
from pytest_coordchaos.faults.triggers import parse_trigger
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.recording import OperationRecord, Processes
from pytest_coordchaos.runtimes.base import Address, NodeState
from pytest_coordchaos.simulation.remote import RemoteCluster
from pytest_coordchaos.system.model import System
from pytest_coordchaos.until import wait_until
from pytest_coordchaos.workloads.model import Workload

if TYPE_CHECKING:
    from pytest_coordchaos.relay.link_control import Hold
    from pytest_coordchaos.run import Run
    from pytest_coordchaos.session import Session
    from pytest_coordchaos.simulation.explore import Exploration

__all__ = ["Cluster"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


class Cluster(FaultVerbs):
    """A running System, driven by a test. Get one from `coordchaos.start(system)`."""

    def __init__(self, live: LiveCluster | RemoteCluster, session: Session) -> None:
        self._live = live
        self._session = session
        self._portal = session.portal
        self._processes = Processes(live.recorder)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def live(self) -> LiveCluster | RemoteCluster:
        """The asynchronous core (what clients' `connect` receives). Its coroutines belong to the session's loop."""
        return self._live

    @property
    def system(self) -> System:
        """What was started."""
        return self._live.system

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node names, in order."""
        return self._live.nodes

    @property
    def directory(self) -> Path:
        """Working directories of nodes, logs, and the history lie here."""
        return self._live.directory

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults in force, in words."""
        return tuple(handle.words for handle in self._live.handles if handle.end_ns is None)

    def address(self, node: str, port: str) -> Address:
        """(host, port) where a client of this test reaches that port of the node: through the client's link."""
        self._touch()
        return self._live.address(node, port)

    def state(self, node: str) -> NodeState:
        """Running, paused or dead."""
        return self._live.state(node)

    def log(self, node: str) -> str:
        """Standard output and error of the node so far."""
        self._live.state(node)
        return self._live.runtime.log(node)

    def cpu_seconds(self, node: str) -> float:
        """User plus system CPU seconds of the node so far, earlier incarnations included."""
        self._live.state(node)
        return self._portal.call(self._live.runtime.cpu_seconds(node))

    def ledger(self) -> Ledger:
        """What crossed the links since this test began (outside a test: since the cluster was ready). Traffic goes on."""
        self._touch()
        return self._portal.call(self._live.ledger(self._session.mark_of(self)))

    def role(self, name: str, *, timeout_s: float = 10.0) -> str:
        """The node that holds the role; waits for one.

        Raises:
            FaultError: No single node claimed it in time: it is unknown, and no guess is made.
        """
        return self._portal.call(self._live.wait_role(name, timeout_s))

    def leader(self, *, timeout_s: float = 10.0) -> str:
        """The node that holds the role "leader" (see `System(roles=…)`)."""
        return self.role("leader", timeout_s=timeout_s)

    # -- faults ----------------------------------------------------------------------------------

    def pause(self, node: str) -> ActiveFault:
        """Stop a node's processes (SIGSTOP); undo resumes them."""
        return self.apply(Pause(node))

    def resume(self, node: str) -> None:
        """Undo every pause of the node."""
        self._live.state(node)
        for handle in [h for h in self._live.handles if h.end_ns is None and h.words == f"pause {node}"]:
            self._portal.call(handle.undo())

    def kill(self, node: str) -> ActiveFault:
        """SIGKILL a node; undo restarts it."""
        self._touch()
        killing: Coroutine[Any, Any, AnyHandle] = self._live.kill(node)
        return ActiveFault(self._portal, [self._portal.call(killing)])

    def lose_power(self, node: str) -> ActiveFault:
        """A node's machine loses power: what it did not sync is lost, and nobody hears of it; undo restarts it."""
        self._touch()
        failing: Coroutine[Any, Any, AnyHandle] = self._live.lose_power(node)
        return ActiveFault(self._portal, [self._portal.call(failing)])

    @contextmanager
    def when(self, trigger: str, *, timeout_s: float = 10.0) -> Iterator[None]:
        """Wait for a trigger; the message that sets it off is held until the block ends: what is done there comes before it.

        Args:
            trigger: What follows the `@` of a fault word: "append#3", "n1>vote>n2#1", "sync:n1#5", "leader".
            timeout_s: FaultError when it did not come within so many seconds.
        """
        self._touch()
        waiting: Coroutine[Any, Any, Hold | None] = self._live.when(parse_trigger(trigger), timeout_s)
        hold = self._portal.call(waiting)
        if hold is None:
            raise FaultError(f"when({trigger!r}): it did not come within {timeout_s:g} s")
        try:
            yield
        finally:
            self._portal.call(hold.release())

    def restart(self, node: str) -> None:
        """Start a dead node again, on its ports and directory; returns when its ports accept."""
        self._touch()
        self._portal.call(self._live.restart(node))

    def apply(self, *faults: Fault) -> ActiveFault:
        """Put fault values in force."""
        self._touch()
        handles: list[AnyHandle] = []
        try:
            for fault in faults:
                applying: Coroutine[Any, Any, AnyHandle] = self._live.apply(fault)
                handles.append(self._portal.call(applying))
        except BaseException:
            ActiveFault(self._portal, handles).undo()
            raise
        return ActiveFault(self._portal, handles)

    def heal(self) -> None:
        """Undo all faults, and restart dead nodes."""
        self._touch()
        self._portal.call(self._live.heal())

    def wait_healed(self, *, timeout_s: float = 30.0) -> None:
        """Wait until every node is ready again (and a leader is known, where that role is declared)."""
        self._portal.call(self._live.wait_healed(timeout_s))

    def wait_until(self, condition: Callable[[], object], *, timeout_s: float = 30.0, what: str = "") -> None:
        """Wait until your condition returns something true; OSError in it means not yet.

        Raises:
            FaultError: It did not within `timeout_s`.
        """
        wait_until(condition, self._live.clock, self._portal, timeout_s, what or "the condition")

    # -- load ------------------------------------------------------------------------------------

    def record(self, f: str, *, key: Any = None, value: Any = None, node: str | None = None) -> OperationRecord:
        """Record one operation around the driver your suite has: `with cluster.record("put", key=k, value=v) as op:`."""
        self._touch()
        if node is not None:
            self._live.state(node)
        return OperationRecord(self._live.recorder, self._processes, f, key, value, node)

    def run(
        self,
        workload: str | Workload,
        *,
        seconds: float | None = None,
        faults: Iterable[str] | None = None,
        **options: Any,
    ) -> Run:
        """Load the cluster and, meanwhile, carry out a fault plan drawn from the test's seed.

        Args:
            workload: A Workload, or the name of one that the System brings.
            seconds: Length of the load; default: the marker's, else 5.
            faults: Fault words; default: the marker's.
            options: Handed to the named workload's factory (clients, rate_per_s, keys …).
        """
        self._touch()
        return self._portal.call(self._session.run_workload(self, workload, seconds, faults, options))

    async def run_async(
        self,
        workload: str | Workload,
        *,
        seconds: float | None = None,
        faults: Iterable[str] | None = None,
        **options: Any,
    ) -> Run:
        """`run` for asynchronous tests, on any loop."""
        self._touch()
        return await self._portal.call_async(self._session.run_workload(self, workload, seconds, faults, options))

    def explore(
        self,
        workload: str | Workload,
        *,
        seeds: int | Iterable[int] = 100,
        seconds: float | None = None,
        faults: Iterable[str] | None = None,
        jobs: int = 1,
        keep_going: bool = False,
        progress_s: float | None = None,
        swarm: bool = True,
        **options: Any,
    ) -> Exploration:
        """Simulate the same System with many seeds, apart from this cluster, and judge each like a `run`.

        Args:
            workload: As in `run`.
            seeds: How many, or which.
            seconds: Simulated seconds of load for each; default: the marker's, else 5.
            faults: Fault words; default: the marker's. Every seed draws its own plan.
            swarm: Every seed draws some of the words, so that combinations vary; False: all of them in each.
            jobs: Worker processes.
            keep_going: Do not stop at the first seed that fails.
            progress_s: At the end the nodes that `System(live=…)` declares are healed, the rest stays cut off for ever, and an
                operation must succeed within so many simulated seconds. None: the System's own bound, if any; 0: not asked.
            swarm: Every seed draws some of the words, so that combinations vary; False: all of them in each.
            jobs: Worker processes.
            keep_going: Do not stop at the first seed that fails.
            progress_s: At the end a drawn majority is healed, the rest stays cut off, and an operation must succeed
                within so many simulated seconds.
            options: Handed to the named workload's factory.
        """
        self._touch()
        how = {"seeds": seeds, "seconds": seconds, "faults": faults, "jobs": jobs, "keep_going": keep_going}
        work = self.named_workload(workload, options)
        return self._portal.call(self._session.explore(self, work, progress_s=progress_s, swarm=swarm, **how))

    def named_workload(self, workload: str | Workload, options: Mapping[str, Any]) -> Workload:
        """The workload of that name with these options.

        Raises:
            UsageError: The System brings none of that name, or the options do not fit.
        """
        if isinstance(workload, Workload):
            if options:
                raise UsageError(f"run(Workload(...)): options {', '.join(options)} are only for workloads called by name")
            return workload
        factory = self.system.workloads.get(workload)
        if factory is None:
            known = ", ".join(self.system.workloads) or "none"
            raise UsageError(f"run({workload!r}): System({self.system.name!r}) brings no such workload; it brings: {known}")
        try:
            made = factory(**options)
        except TypeError as error:
            raise UsageError(f"run({workload!r}): {error}") from None
        assert isinstance(made, Workload)
        return made

    def __repr__(self) -> str:
        return f"<Cluster {self.system.name} of {', '.join(self.nodes)}>"

    def _touch(self) -> None:
        if self._live.stopped:
            raise UsageError(f"{self!r} is stopped: its `with coordchaos.start(…)` block has ended")
        self._session.touch(self)
