"""The record of one experiment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.model import History
from pytest_coordchaos.verdicts import Status, Verdict, worst

__all__ = ["BudgetRequest", "Figures", "InvariantRequest", "Run", "RunFault", "TestRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantRequest:
    """One name of an `invariants` marker with the marker's options."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRequest:
    """One `coordination_budget` marker.

    Args:
        op: Only operations with this `f`; None: all.
        limits: Budget name (`messages_per_op`, `p99_ms` …) -> inclusive limit.
    """

    op: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRequest:
    """What the markers of one test ask for.

    Args:
        test: The test's node id.
        seed: The test's own seed (a hash of the run's seed and the node id).
        nodes, faults, seconds: From the `coordchaos` marker; None or () where not given.
        runtime: Where clusters run that are started inside of the test; "": as the options say.
        proxy: Who applies cuts and delays to those clusters; "": as the options say.
        invariants, budgets: From the other markers, in order.
        allow_unknown: Unknown verdicts do not fail the test.
        reproduce: One shell command that runs this test again and draws the same plan.
    """

    __test__ = False  # pytest would collect the class where a test module imports it

    test: str
    seed: int
    nodes: int | None = None
    faults: tuple[str, ...] = ()
    seconds: float | None = None
    runtime: str = ""
    proxy: str = ""
    invariants: tuple[InvariantRequest, ...] = ()
    budgets: tuple[BudgetRequest, ...] = ()
    allow_unknown: bool = False
    reproduce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFault:
    """One fault as it was carried out.

    Args:
        id: Stable id in the plan ("1-partition"), or "by hand".
        words: What it was, for people ("partition {n1,n2} | {n3,n4,n5}").
        start_ns, end_ns: When it was in force (`end_ns` None: to the end of the run).
        verified: Its probe proved that it took effect.
        note: Why not, or how its target was found ("leader was n3").
    """

    id: str
    words: str
    start_ns: int
    end_ns: int | None = None
    verified: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers of a run that the summary shows. None: unknown.

    Args:
        operations, ok, fail, info: Operations invoked, and how they ended.
        messages_per_op: Node-to-node foreground messages offered, per operation invoked.
        bytes_per_op: Node-to-node foreground bytes offered, per operation invoked.
        p50_ms, p99_ms: Latency percentiles from the intended start; info censored at giving up.
        background_messages_per_s: Node-to-node background messages offered, per second.
        framed_share: Share of node-to-node bytes that lie in framed messages (0..1).
        attributed_share: Share of foreground messages that name an operation (0..1).
        cpu_s: CPU seconds of the nodes, by node.
    """

    operations: int = 0
    ok: int = 0
    fail: int = 0
    info: int = 0
    messages_per_op: float | None = None
    bytes_per_op: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    background_messages_per_s: float | None = None
    framed_share: float | None = None
    attributed_share: float | None = None
    cpu_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One experiment: what was asked, what happened, what is to be said of it.

    Args:
        test: Node id of the test, or "" outside pytest.
        system, runtime, nodes: What ran, where, how many nodes.
        runtime_reason: Why that runtime.
        proxy: Who applied the cuts and delays: "relay" or "toxiproxy".
        workload: Name of the workload; None for operations recorded by hand.
        seed: The seed everything was drawn from.
        start_ns, end_ns: The window, CLOCK_MONOTONIC.
        faults: As carried out.
        history, ledger: Of the window only.
        context: What the cluster was asked before the window; the window may rightly read what was written there.
        figures: The numbers of the summary.
        verdicts: Of every invariant and budget.
        notes: Sentences a reader should know (background estimated, bypass seen …).
        logs: Node -> its last log lines, for failures.
        reproduce: One shell command.
        directory: Where the run's files lie, if they were kept.
    """

    test: str = ""
    system: str
    runtime: str
    runtime_reason: str = ""
    proxy: str = "relay"
    nodes: int
    workload: str | None = None
    seed: int
    start_ns: int
    end_ns: int
    faults: tuple[RunFault, ...] = ()
    history: History = field(default_factory=History)
    ledger: Ledger = field(default_factory=Ledger)
    context: History = field(default_factory=History)
    figures: Figures = field(default_factory=Figures)
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reproduce: str = ""
    directory: str | None = None

    @property
    def status(self) -> Status:
        """The worst verdict; unknown when there is none."""
        return worst(self.verdicts)

    def __repr__(self) -> str:
        return f"<Run of {self.system}: {self.status}, {len(self.history)} operations, seed {self.seed}>"
