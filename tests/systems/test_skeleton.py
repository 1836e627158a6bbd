"""The skeleton of a system as real processes: what a put costs, and its mutants."""

from __future__ import annotations

import pytest

from pytest_coordchaos import Session, assert_caught
from pytest_coordchaos.cost.budgets import evaluate
from pytest_coordchaos.run import BudgetRequest
from pytest_coordchaos.verdicts import Status
from reference_systems.skeleton.mutants import MUTANTS
from reference_systems.skeleton.system import system


def test_a_put_costs_what_the_floor_says(session: Session) -> None:
    with session.start(system(nodes=4)) as cluster:
        run = cluster.run("register", read_share=0.0, rate_per_s=40, seconds=1)

    assert run.status is Status.HELD
    (cost,) = evaluate(
        BudgetRequest(op="put", limits={"messages_per_op": 6}), run.history, run.ledger, system().ports, cluster.nodes
    )
    assert (cost.status, cost.measured) == (Status.HELD, 6.0)


@pytest.mark.parametrize("name", ["hasty", "talkative"])
def test_a_mutant_is_caught_on_processes_too(session: Session, name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS.mutants if mutant.name == name)

    assert_caught(MUTANTS, mutant, on=session, seeds=5)
