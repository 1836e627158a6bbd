"""No false alarm: a hundred seeds of each healthy system, each with some of all fault words there are.

Thousands: `coordchaos campaign` of a test that does the same.
"""

from __future__ import annotations

import pytest

from pytest_coordchaos import System, Workload
from pytest_coordchaos.faults.words import VERBS
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario
from reference_systems.crdt_cart.system import system as crdt_cart
from reference_systems.gossip_ring.system import system as gossip_ring
from reference_systems.payments_2pc.system import system as payments_2pc
from reference_systems.raft_kv.system import system as raft_kv

SEEDS = 100


@pytest.mark.parametrize(
    ("system", "workload", "rate_per_s"),
    [
        (raft_kv(nodes=5), "register", 20.0),
        (payments_2pc(nodes=4), "transfers", 15.0),
        (gossip_ring(nodes=5), "lookups", 5.0),
        (crdt_cart(nodes=3), "carts", 20.0),
    ],
    ids=lambda value: value.name if isinstance(value, System) else "",
)
def test_a_hundred_seeds_of_a_healthy_system_are_held(system: System, workload: str, rate_per_s: float) -> None:
    """Every verb with every target it knows by name; the end demands progress of those whom the system says to be live."""
    made = system.workloads[workload](rate_per_s=rate_per_s)
    assert isinstance(made, Workload)
    assert system.live.within_s is not None
    scenario = Scenario(
        system=system, workload=made, faults=_words(system), seconds=6.0, progress=Progress(within_s=system.live.within_s)
    )

    found = explore(scenario, range(SEEDS), nodes=system.node_names, keep_going=True)

    assert [(one.seed, one.summary) for one in found.results if one.verdict != "held"] == []
    assert len(found.results) == SEEDS
    assert len(found.faults) > len(VERBS)
    assert found.diverged == ""


def _words(system: System) -> tuple[str, ...]:
    choices = ((verb, target, choice) for verb, row in VERBS.items() for target, choice in row.choices.items())
    return tuple(
        f"{verb}:{target}" if target else verb
        for verb, target, choice in choices
        if choice.role is None or choice.role in system.roles
    )
