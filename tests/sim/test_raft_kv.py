"""The Raft store in the simulator: no false alarm with every fault, and bugs that are caught."""

from __future__ import annotations

import pytest

from pytest_coordchaos.mutants.asserting import assert_caught
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Progress, Scenario
from pytest_coordchaos.workloads.model import Workload
from reference_systems.raft_kv.mutants import MUTANTS
from reference_systems.raft_kv.system import system
from reference_systems.raft_kv.workloads import reconfigure, register

_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}

EVERYTHING = (
    "partition:halves",
    "partition:majorities-ring",
    "hold:halves",
    "isolate:leader",
    "kill:leader",
    "kill:minority",
    "pause:one",
    "slow:20",
    "lose",
    "duplicate",
    "reorder",
    "drop-replies:one",
    "power-loss:one",
    "slow-disk:one",
    "skew:one",
    "jump:one",
)


LOAD = register(rate_per_s=40, state_share=0.2, cas_share=0.2, at_home=True)
MEMBERS = reconfigure(nodes=system(5).node_names, rate_per_s=40, state_share=0.2, at_home=True)


@pytest.mark.parametrize(
    ("options", "workload", "progress"),
    [
        ({}, LOAD, Progress(within_s=5.0)),
        ({"lease_ms": 140, "pipeline": 4, "batch_entries": 4}, LOAD, Progress(within_s=5.0)),
        ({"pre_vote": 0, "pipeline": 2, "snapshot_every_entries": 30, "snapshot_keep_entries": 3}, MEMBERS, None),
    ],
    ids=["defaults", "leases and a pipeline", "members, snapshots, no pre-vote"],
)
def test_no_false_alarm_with_every_fault(options: dict[str, float], workload: Workload, progress: Progress | None) -> None:
    """Linearizable, one leader a term, equal replicas; in the end all agree, and any majority alone goes on."""
    scenario = Scenario(system=system(5, **options), workload=workload, faults=EVERYTHING, seconds=7.0, progress=progress)
    found = explore(scenario, range(3), nodes=scenario.system.node_names, jobs=2, keep_going=True, sample=0)
    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


@pytest.mark.parametrize("name", ["R3", "R4", "R16"])
def test_mutants_are_caught(name: str) -> None:
    """Those that only an order of events shows: a drawn one, or the schedule of a paper."""
    assert_caught(MUTANTS, _MUTANT[name], seeds=20)


def test_every_mutant_of_the_list_is_here_or_it_is_said_why_not() -> None:
    assert {mutant.name for mutant in MUTANTS.mutants} | set(MUTANTS.not_here) == {f"R{number}" for number in range(1, 21)}
