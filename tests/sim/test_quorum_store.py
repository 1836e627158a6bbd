"""The quorum store is linearizable under faults."""

from __future__ import annotations

from pytest_coordchaos import register
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Scenario
from reference_systems.quorum_store.system import system

FAULTS = ("partition:majorities-ring", "kill:one", "power-loss:minority", "slow:20", "lose:20", "duplicate:20", "reorder:20")


def test_it_is_linearizable_under_faults() -> None:
    workload = register(cas_share=0.0, keys=2, rate_per_s=40)
    scenario = Scenario(system=system(5), workload=workload, faults=FAULTS, seconds=8)

    found = explore(scenario, range(8), nodes=system(5).node_names, keep_going=True)

    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []
