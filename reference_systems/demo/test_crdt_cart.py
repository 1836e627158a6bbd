"""A cart with a replica on each of three nodes: each answers at once, whatever happens to the others; all agree in the end."""

import pytest

from pytest_coordchaos import Cluster


@pytest.mark.coordchaos(nodes=3, faults=["partition:halves", "kill:one"], seconds=4)
@pytest.mark.coordination_budget(messages_per_op=0)
def test_carts_cost_no_coordination_and_converge(crdt_cart: Cluster) -> None:
    """The budget is the point: no operation waits for another node, so none costs a message."""
    crdt_cart.run("carts", rate_per_s=60)
