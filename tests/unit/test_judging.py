"""From evidence to verdicts: what is doubtful is never held, what was not observed is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.spans import downtimes
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.judging import Evidence, invariants_of, judge, left_out
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, RunFault, TestRequest
from pytest_coordchaos.system.model import System
from pytest_coordchaos.verdicts import Status, Verdict, worst
from pytest_coordchaos.workloads.model import Workload

SYSTEM = System(nodes=3, command=["true"])
OP = Operation(
    id=1, process=0, f="put", key="k", value=1, outcome=Outcome.OK, intended_ns=5, invoke_ns=5, return_ns=9, ended_ns=9
)

OBSERVED = History((OP,))


def _says(status: Status) -> dict[str, Invariant]:
    def check(history, options) -> Verdict:
        return Verdict(name="stub", status=status, summary=f"stub {status} with {sorted(options)}")

    return {"stub": Invariant(name="stub", check=check, options=frozenset(), doc="")}


def _judge(status: Status, *, window: History = OBSERVED, **evidence: object) -> Verdict:
    given = Evidence(system=SYSTEM, whole=window, window=window, start_ns=0, **{"ledger": Ledger(), **evidence})
    request = TestRequest(test="t", seed=1, invariants=(InvariantRequest(name="stub"),))
    (verdict,) = judge(request, None, given, _says(status))
    return verdict


def test_sound_evidence_leaves_the_verdict_as_it_is() -> None:
    assert [_judge(status).status for status in Status] == list(Status)


def test_traffic_round_the_relay_turns_held_into_unknown_and_says_which() -> None:
    verdict = _judge(Status.HELD, ledger=Ledger(bypasses=("n1 spoke to n2:peer from 127.0.0.1:4711",)))

    assert verdict.status is Status.UNKNOWN
    assert "n1 spoke to n2:peer" in verdict.summary


def test_an_unproven_fault_turns_held_into_unknown_and_says_why() -> None:
    fault = RunFault(id="1-kill:leader", words="kill leader", start_ns=0, verified=False, note="nobody held the role leader")
    verdict = _judge(Status.HELD, faults=(fault,))

    assert verdict.status is Status.UNKNOWN
    assert "nobody held the role leader" in verdict.summary


def test_doubt_never_softens_a_violation() -> None:
    verdict = _judge(Status.VIOLATED, ledger=Ledger(bypasses=("round it",)))

    assert verdict.status is Status.VIOLATED
    assert any("round it" in line for line in verdict.details)


def test_nothing_recorded_is_unknown_whatever_the_checker_would_say() -> None:
    assert _judge(Status.HELD, window=History()).status is Status.UNKNOWN


def test_what_was_asked_in_the_end_is_judged_but_costs_nothing() -> None:
    """Invariants see the final answers; budgets divide by the load alone."""
    final = replace(OP, id=2, f="state", invoke_ns=20, intended_ns=20, return_ns=21, ended_ns=90_000)
    seen: list[int] = []

    def check(history: History, options: object) -> Verdict:
        seen.append(len(history))
        return Verdict(name="stub", status=Status.HELD, summary="")

    given = Evidence(
        system=SYSTEM, whole=History((OP, final)), window=OBSERVED, finals=History((final,)), start_ns=0, ledger=Ledger()
    )
    request = TestRequest(
        test="t", seed=1, invariants=(InvariantRequest(name="stub"),), budgets=(BudgetRequest(limits={"p99_ms": 1.0}),)
    )
    _, budget = judge(request, None, given, {"stub": Invariant(name="stub", check=check, options=frozenset(), doc="")})

    assert seen == [2]
    assert budget.measured == OP.latency_ns / 1e6


STANDING = RunFault(id="by hand", words="partition {n1} | {n2,n3}", start_ns=0)
EVENTUAL = Invariant(
    name="stub",
    check=lambda history, options: Verdict(name="stub", status=Status.VIOLATED, summary="too early"),
    options=frozenset(),
    doc="",
    eventual=True,
)


def test_a_promise_about_the_end_waits_for_the_end_of_faults() -> None:
    """What a workload brings is left out, and that is said; what a marker asks for is unknown."""
    workload = Workload(name="w", requests=lambda rng: iter(()), invariants=("stub",))
    given = Evidence(system=SYSTEM, whole=OBSERVED, window=OBSERVED, start_ns=0, ledger=Ledger(), faults=(STANDING,))
    plain, marked = TestRequest(test="t", seed=1), TestRequest(test="t", seed=1, invariants=(InvariantRequest(name="stub"),))

    assert judge(plain, workload, given, {"stub": EVENTUAL}) == ()
    assert left_out(plain, workload, given, {"stub": EVENTUAL}) == (
        "not judged: stub; in force to the end: partition {n1} | {n2,n3}",
    )
    (verdict,) = judge(marked, workload, given, {"stub": EVENTUAL})
    assert verdict.status is Status.UNKNOWN
    assert "partition {n1} | {n2,n3}" in verdict.summary
    assert left_out(marked, workload, given, {"stub": EVENTUAL}) == ()


def test_when_faults_are_over_a_promise_about_the_end_is_judged() -> None:
    given = Evidence(
        system=SYSTEM, whole=OBSERVED, window=OBSERVED, start_ns=0, ledger=Ledger(), faults=(replace(STANDING, end_ns=4),)
    )
    request = TestRequest(test="t", seed=1, invariants=(InvariantRequest(name="stub"),))
    (verdict,) = judge(request, None, given, {"stub": EVENTUAL})

    assert verdict.status is Status.VIOLATED


def test_an_invariant_that_needs_the_faults_is_given_them() -> None:
    fault = RunFault(id="1-kill:n1", words="kill n1", start_ns=3, end_ns=7)
    given: list[object] = []

    def check(history: History, options: Mapping[str, object]) -> Verdict:
        given.append(options.get("faults"))
        return Verdict(name="stub", status=Status.HELD, summary="")

    evidence = Evidence(system=SYSTEM, whole=OBSERVED, window=OBSERVED, start_ns=0, ledger=Ledger(), faults=(fault,))
    for needs in (frozenset[str](), frozenset({"faults"})):
        stub = Invariant(name="stub", check=check, options=frozenset(), doc="", needs=needs)
        judge(TestRequest(test="t", seed=1, invariants=(InvariantRequest(name="stub"),)), None, evidence, {"stub": stub})

    assert given == [None, (fault,)]
    assert downtimes([fault]) == {"n1": [(3, 7)]}


def test_a_workload_brings_its_invariants_unless_a_marker_named_them() -> None:
    workload = Workload(name="w", requests=lambda rng: iter(()), invariants=("linearizable", "stub"), model="key-value")
    asked = TestRequest(test="t", seed=1, invariants=(InvariantRequest(name="stub", options={"model": "register"}),))
    found = {one.name: one.options.get("model") for one in invariants_of(asked, workload)}

    assert found == {"stub": "register", "linearizable": "key-value"}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.UNKNOWN),
        ([Status.HELD], Status.HELD),
        ([Status.HELD, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.UNKNOWN, Status.VIOLATED, Status.HELD], Status.VIOLATED),
    ],
)
def test_the_worst_verdict_counts_and_none_is_unknown(statuses: list[Status], expected: Status) -> None:
    assert worst(Verdict(name="v", status=status, summary="") for status in statuses) is expected
