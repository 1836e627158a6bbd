"""The cart as real processes: it holds under faults, its operations cost nothing between nodes, and its mutants are caught."""

from __future__ import annotations

import pytest

from pytest_coordchaos import Session, assert_caught
from pytest_coordchaos.verdicts import Status
from reference_systems.crdt_cart.mutants import MUTANTS
from reference_systems.crdt_cart.system import system


def test_it_holds_while_nodes_are_cut_off_and_die(session: Session) -> None:
    with session.start(system(nodes=3)) as cluster:
        run = cluster.run("carts", seconds=5, faults=["partition:halves", "kill:one", "drop-replies:one", "duplicate"])

    assert [verdict.summary for verdict in run.verdicts if verdict.status is not Status.HELD] == []
    assert {verdict.name for verdict in run.verdicts} == {"cart", "converged", "metadata-bounded"}
    assert run.figures.ok > 100
    assert run.figures.messages_per_op == 0


@pytest.mark.parametrize("name", ["K6", "K12", "K14"])
def test_a_mutant_is_caught_on_processes_too(session: Session, name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS.mutants if mutant.name == name)

    assert_caught(MUTANTS, mutant, on=session, seeds=5)
