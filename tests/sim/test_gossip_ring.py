"""The gossip ring in the simulator: no false alarm with every fault, what it costs, and bugs that are caught."""

from __future__ import annotations

import pytest

from pytest_coordchaos import assert_caught
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario
from pytest_coordchaos.simulation.world import Model
from reference_systems.gossip_ring.mutants import MUTANTS
from reference_systems.gossip_ring.schedules import crashes
from reference_systems.gossip_ring.system import system
from reference_systems.gossip_ring.workloads import lookups

_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}
_FAST = {"period_ms": 100, "probe_timeout_ms": 30}

EVERYTHING = (
    "partition:halves",
    "partition:majorities-ring",
    "isolate:minority",
    "hold:halves",
    "kill:one",
    "kill:minority",
    "power-loss:one",
    "pause:one",
    "pause:minority",
    "slow:20",
    "lose",
    "duplicate",
    "reorder",
    "corrupt",
    "drop-replies:one",
    "skew:one",
    "jump:one",
    "drift:one",
)


def asked(*names: str, **limits: float) -> TestRequest:
    """Judged by these invariants and budgets too."""
    budgets = (BudgetRequest(limits=limits),) if limits else ()
    return TestRequest(test="", seed=0, invariants=tuple(InvariantRequest(name=name) for name in names), budgets=budgets)


def test_no_false_alarm_with_every_fault() -> None:
    """One view in the end, nobody declared dead who could refute, no belief that goes back; and any member goes on alone."""
    scenario = Scenario(
        system=system(5, **_FAST),
        workload=lookups(rate_per_s=10),
        faults=EVERYTHING,
        seconds=12.0,
        progress=Progress(within_s=10.0),
    )
    found = explore(scenario, range(6), nodes=scenario.system.node_names, jobs=2, keep_going=True, sample=0)
    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


def test_crashes_are_detected_declared_and_spread_in_time() -> None:
    scenario = Scenario(
        system=system(6, **_FAST),
        workload=lookups(),
        script=crashes(times=2, down_s=4, up_s=2.8),
        seconds=14.0,
        request=asked("detector-completeness", "detection-time", "minimal-key-movement"),
    )
    found = explore(scenario, range(3), nodes=scenario.system.node_names, keep_going=True, sample=0)
    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


@pytest.mark.parametrize("n", [3, 16])
def test_a_member_sends_at_most_2_2_messages_a_period(n: int) -> None:
    """Whatever the size of the group: the load of a member is constant (where nothing is lost)."""
    scenario = Scenario(
        system=system(n),
        workload=lookups(rate_per_s=1),
        seconds=10.0,
        request=asked(background_messages_per_s=2.2 * n / 0.2),
        model=Model.unit(),
    )
    found = explore(scenario, range(1), nodes=scenario.system.node_names, sample=0)
    assert [(result.verdict, result.summary) for result in found.results] == [("held", "")]


@pytest.mark.parametrize("name", ["S2", "S3", "S9", "S12", "S13", "S14"])
def test_mutants_are_caught(name: str) -> None:
    """Those that the first seeds show; all others are scored by `coordchaos mutants`."""
    assert_caught(MUTANTS, _MUTANT[name], seeds=5)


def test_every_mutant_of_the_list_is_here_or_it_is_said_why_not() -> None:
    assert {f"S{number}" for number in range(1, 17)} <= {mutant.name for mutant in MUTANTS.mutants} | set(MUTANTS.not_here)
