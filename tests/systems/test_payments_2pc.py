"""The payment service as real processes: what it promises under faults, what it costs, and mutants that are caught."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_coordchaos import Outcome, Session, Status, assert_caught
from reference_systems.payments_2pc.mutants import MUTANTS
from reference_systems.payments_2pc.system import system

_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}
_ONLY_TRANSFERS = {"total_share": 0.0, "balance_share": 0.0, "report_share": 0.0, "witness_share": 0.0}


def test_promises_hold_while_the_coordinator_dies_and_nodes_are_cut_off(session: Session) -> None:
    """The workload brings its invariants; in the end every node answers, and nobody is in doubt."""
    with session.start(system(nodes=3)) as cluster:
        run = cluster.run("transfers", rate_per_s=40, seconds=5, faults=["kill:leader", "partition:halves"])

    assert [verdict.summary for verdict in run.verdicts if verdict.status is not Status.HELD] == []
    assert len(run.verdicts) == 9
    assert run.figures.ok > 0


def test_a_transfer_between_two_nodes_costs_eight_messages(session: Session) -> None:
    """4k for k = 2 participants apart from the coordinator; one client at a time. A busy machine may make one try again."""
    with session.start(system(nodes=3, accounts=2, initial=100_000)) as cluster:
        run = cluster.run("transfers", seconds=1, clients=1, **_ONLY_TRANSFERS)

    between = run.ledger.between(("n1", "n2", "n3")).messages
    transfers = {op.id for op in run.history.only("transfer") if op.outcome is Outcome.OK}
    sent = Counter(operation for one in between for operation in one.operations if operation in transfers)
    assert set(sent) == transfers
    assert min(sent.values()) == Counter(sent.values()).most_common(1)[0][0] == 8


@pytest.mark.parametrize("name", ["T1", "T8", "T12"])
def test_mutants_are_caught_as_processes(session: Session, name: str) -> None:
    """A commit that is not written down, locks that are let go too early, a commit applied twice."""
    assert_caught(MUTANTS, _MUTANT[name], on=session, seeds=4)
