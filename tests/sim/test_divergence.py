"""A seed that does not run the same way twice: said instead of a replay that cannot be trusted."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from pytest_coordchaos import Request, Workload
from pytest_coordchaos.simulation.explore import Exploration, explore
from pytest_coordchaos.simulation.scenario import Scenario
from reference_systems.skeleton.system import system


def _by_process(rng: random.Random) -> Iterator[Request]:
    """As many requests as the process's number says: nothing that a simulation can know of."""
    yield from (Request(f="put", key="k", value=number) for number in range(1 + os.getpid() % 997))


def _by_seed(rng: random.Random) -> Iterator[Request]:
    yield from (Request(f="put", key="k", value=number) for number in range(1 + int(rng.random() * 50)))


def _explored(workload: Workload) -> Exploration:
    three = system(nodes=3)
    return explore(Scenario(system=three, workload=workload, seconds=60.0), range(1), nodes=three.node_names, sample=1)


def test_a_seed_that_runs_otherwise_in_another_process_is_reported_with_its_first_difference() -> None:
    found = _explored(Workload(name="by process", requests=_by_process, model="key-value", clients=1))

    assert found.checked == 1
    assert found.diverged.startswith("seed 0 did not run the same way twice: no replay of it can be trusted")
    assert "first difference at step" in found.diverged
    assert found.diverged in found.summary


def test_a_seed_that_runs_the_same_way_is_said_to() -> None:
    found = _explored(Workload(name="by seed", requests=_by_seed, model="key-value", clients=1))

    assert (found.checked, found.diverged) == (1, "")
    assert "each was the same run" in found.summary


def test_a_seed_that_fails_is_run_a_second_time_once_although_it_is_in_the_sample_too() -> None:
    found = _explored(Workload(name="unjudged", requests=_by_seed, invariants=(), clients=1))

    assert found.failed is not None
    assert found.failed.verdict == "unknown"
    assert found.checked == 1
