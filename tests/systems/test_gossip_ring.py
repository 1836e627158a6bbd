"""The gossip ring as real processes: under faults, what a lookup costs, leaving and coming back, and its mutants."""

from __future__ import annotations

import pytest

from pytest_coordchaos import Cluster, Final, Request, Session, Workload, assert_caught
from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.cost.budgets import evaluate
from pytest_coordchaos.run import BudgetRequest
from pytest_coordchaos.verdicts import Status
from reference_systems.gossip_ring.mutants import MUTANTS
from reference_systems.gossip_ring.system import system
from reference_systems.gossip_ring.workloads import agree

_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}


def ask(cluster: Cluster, f: str, **final: object) -> dict[str, object]:
    """One request to the first node; and in the end what each node sees."""
    workload = Workload(
        name=f,
        requests=lambda rng: iter([Request(f=f)]),
        invariants=(),
        clients=1,
        final=Final(requests=(Request(f="members"),), **final),  # type: ignore[arg-type]  # the tests' own
    )
    return {node: op.result for node, op in last_answers(cluster.run(workload, seconds=5).history, "members").items()}


def test_it_holds_under_faults(session: Session) -> None:
    with session.start(system(nodes=5)) as cluster:
        run = cluster.run("lookups", faults=["kill:one", "pause:one", "partition:halves", "lose:10"], seconds=8)

    assert {verdict.name for verdict in run.verdicts} >= {"membership-agreement", "detector-accuracy", "no-resurrection"}
    assert [verdict.summary for verdict in run.verdicts if verdict.status is Status.VIOLATED] == []
    assert not run.ledger.bypasses


def test_a_lookup_costs_a_hand_off_and_no_more(session: Session) -> None:
    """Two messages between nodes where the owner was not asked, which is four times in five."""
    with session.start(system(nodes=5)) as cluster:
        ask(cluster, "members", until=agree)
        run = cluster.run("lookups", rate_per_s=60, seconds=3)

    limits = {"messages_per_op": 2}
    (cost,) = evaluate(BudgetRequest(op="lookup", limits=limits), run.history, run.ledger, system().ports, cluster.nodes)
    assert cost.status is Status.HELD
    assert cost.measured == pytest.approx(1.6, abs=0.25)


def test_a_member_leaves_and_comes_back(session: Session) -> None:
    with session.start(system(nodes=3)) as cluster:
        ask(cluster, "members", until=agree)
        gone = ask(cluster, "leave", until=lambda answers: all(a["members"]["n1"][0] == "left" for a in answers.values()))
        assert gone == {node: {"n1": ["left", 0], "n2": ["alive", 0], "n3": ["alive", 0]} for node in ("n1", "n2", "n3")}
        cluster.kill("n1").undo()
        back = ask(cluster, "members", until=agree)
        assert back["n2"] == {"n1": ["alive", 1], "n2": ["alive", 0], "n3": ["alive", 0]}


@pytest.mark.parametrize("name", ["S9", "S16", "H3"])
def test_mutants_are_caught_as_processes(session: Session, name: str) -> None:
    """Two islands, a member that nobody hears of, and hashes that each process makes its own way."""
    assert_caught(MUTANTS, _MUTANT[name], on=session, seeds=4)
