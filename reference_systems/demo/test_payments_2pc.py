"""Transfers between accounts on three nodes, by two-phase commit, while the coordinator dies and nodes are cut off."""

import pytest

from pytest_coordchaos import Cluster


@pytest.mark.coordchaos(nodes=4, faults=["kill:leader", "partition:halves"], seconds=5)
@pytest.mark.coordination_budget(op="transfer", messages_per_op=12)
def test_money_is_neither_made_nor_lost(payments_2pc: Cluster) -> None:
    """`transfers` brings the invariants that fit it; a transfer between two nodes costs 8 messages when nothing is wrong."""
    payments_2pc.run("transfers", rate_per_s=40)
