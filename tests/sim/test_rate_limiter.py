"""The rate limiter holds under faults."""

from __future__ import annotations

from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Scenario
from reference_systems.rate_limiter.system import acquire, system

FAULTS = ("partition:halves", "kill:one", "pause:one", "slow:20", "lose:10", "duplicate:20", "drop-replies:one", "jump:one")


def test_it_holds_under_faults() -> None:
    scenario = Scenario(system=system(), workload=acquire(rate_per_s=60), faults=FAULTS, seconds=8)

    found = explore(scenario, range(8), nodes=system().node_names, keep_going=True)

    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []
