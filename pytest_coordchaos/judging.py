"""From what was observed to verdicts. Pure: history and ledger in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.cost.budgets import evaluate
from pytest_coordchaos.cost.counting import IdleRate
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.model import History
from pytest_coordchaos.run import InvariantRequest, Run, RunFault, TestRequest
from pytest_coordchaos.system.model import System
from pytest_coordchaos.verdicts import Status, Verdict
from pytest_coordchaos.workloads.model import Workload

__all__ = ["Evidence", "faults_not_injected", "invariants_of", "judge", "left_out", "nothing_recorded", "other_size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was observed of one run.

    Args:
        whole: The cluster's history since it started: the context of the window.
        window: The operations of the run's load.
        finals: What nodes were asked when everything was over (`Workload.final`); they cost nothing.
        start_ns: Where the window begins in `whole`.
        ledger: What crossed the links in the window.
        faults: As carried out.
        idle: Rates of an idle window, where background classes are not declared.
    """

    system: System
    whole: History
    window: History
    finals: History = field(default_factory=History)
    start_ns: int
    ledger: Ledger
    faults: Sequence[RunFault] = ()
    idle: IdleRate | None = None


def invariants_of(request: TestRequest, workload: Workload | None) -> tuple[InvariantRequest, ...]:
    """The invariants to check: the markers', then those the workload brings that no marker named."""
    model = {} if workload is None or workload.model is None else {"model": workload.model}
    asked = [InvariantRequest(name=one.name, options={**model, **one.options}) for one in request.invariants]
    named = {one.name for one in asked}
    brought = [] if workload is None else [name for name in workload.invariants if name not in named]
    return (*asked, *(InvariantRequest(name=name, options=model) for name in brought))


def judge(
    request: TestRequest, workload: Workload | None, evidence: Evidence, known: Mapping[str, Invariant]
) -> tuple[Verdict, ...]:
    """Every verdict of one run. What was observed through doubtful evidence is never held."""
    asked = {one.name for one in request.invariants}
    skipped = set(_too_early(request, workload, evidence, known)) - asked
    verdicts = [_check(one, evidence, known) for one in invariants_of(request, workload) if one.name not in skipped]
    for budget in request.budgets:
        verdicts += evaluate(
            budget, evidence.window, evidence.ledger, evidence.system.all_ports, evidence.system.node_names, evidence.idle
        )
    doubts = _doubts(evidence)
    return tuple(_doubted(verdict, doubts) if doubts else verdict for verdict in verdicts)


def left_out(
    request: TestRequest, workload: Workload | None, evidence: Evidence, known: Mapping[str, Invariant]
) -> tuple[str, ...]:
    """Says which invariants of the workload were not judged, because a promise about the end holds only once faults are over."""
    asked = {one.name for one in request.invariants}
    names = [name for name in _too_early(request, workload, evidence, known) if name not in asked]
    return (f"not judged: {', '.join(names)}; in force to the end: {'; '.join(_standing(evidence))}",) if names else ()


def _too_early(
    request: TestRequest, workload: Workload | None, evidence: Evidence, known: Mapping[str, Invariant]
) -> tuple[str, ...]:
    names = tuple(one.name for one in invariants_of(request, workload) if known[one.name].eventual)
    return names if _standing(evidence) else ()


def _standing(evidence: Evidence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fault.words for fault in evidence.faults if fault.end_ns is None))


def _check(one: InvariantRequest, evidence: Evidence, known: Mapping[str, Invariant]) -> Verdict:
    if not evidence.window.operations:
        summary = "nothing was observed: no operation was recorded; use run(...) or record(...)"
        return Verdict(name=one.name, status=Status.UNKNOWN, summary=f"{one.name} unknown: {summary}")
    invariant, standing = known[one.name], _standing(evidence)
    if invariant.eventual and standing:
        why = f"it promises something of the end, and faults are in force: {'; '.join(standing)}; undo them before the run ends"
        return Verdict(name=one.name, status=Status.UNKNOWN, summary=f"{one.name} unknown: {why}")
    options: dict[str, object] = {**one.options, "window_start_ns": evidence.start_ns}
    if "faults" in invariant.needs:
        options["faults"] = tuple(evidence.faults)
    return invariant.check(evidence.whole, options)


def _doubts(evidence: Evidence) -> tuple[str, ...]:
    """Why what was observed proves nothing."""
    walked_round = [f"traffic went round the relay, so no partition is proven: {text}" for text in evidence.ledger.bypasses]
    unproven = [f"fault {one.id} ({one.words}) is not proven: {one.note}" for one in evidence.faults if not one.verified]
    return (*walked_round, *unproven)


def _doubted(verdict: Verdict, doubts: tuple[str, ...]) -> Verdict:
    if verdict.status is not Status.HELD:
        return replace(verdict, details=(*verdict.details, *doubts))
    summary = f"{verdict.name} unknown: {doubts[0]}"
    return replace(verdict, status=Status.UNKNOWN, summary=summary, details=(f"without that: {verdict.summary}", *doubts[1:]))


def nothing_recorded(request: TestRequest, start_ns: int, end_ns: int) -> Run:
    """The Run of a test that asked for verdicts and recorded nothing: all of them are unknown."""
    asked = [(one.name, "invariant") for one in request.invariants]
    asked += [(name, "budget") for budget in request.budgets for name in budget.limits]
    why = "nothing was observed: the test recorded no operation; use run(...) or record(...) of a cluster"
    verdicts = [
        Verdict(name=name, kind=kind, status=Status.UNKNOWN, summary=f"{name} unknown: {why}")
        for name, kind in (asked or [("faults", "invariant")])
    ]
    return Run(
        test=request.test,
        system="none",
        runtime="none",
        nodes=0,
        seed=request.seed,
        start_ns=start_ns,
        end_ns=end_ns,
        verdicts=tuple(verdicts),
        reproduce=request.reproduce,
    )


def other_size(asked: int, sizes: set[int]) -> Verdict:
    """The verdict on a marker's `nodes=` that the fixture did not follow."""
    found = ", ".join(map(str, sorted(sizes)))
    return Verdict(
        name="nodes",
        status=Status.UNKNOWN,
        summary=f"nodes unknown: the marker asked for {asked} nodes, the cluster has {found}; "
        "let its fixture ask coordchaos.nodes_for(request, default)",
    )


def faults_not_injected(request: TestRequest) -> Verdict:
    """The verdict on a marker whose faults nobody carried out."""
    words = ", ".join(request.faults)
    return Verdict(
        name="faults",
        status=Status.UNKNOWN,
        summary=f"faults unknown: {words} of the marker were not injected, because the test never called run(...)",
    )
