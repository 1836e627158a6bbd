"""What must notice each bug of `broken`, and under which faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pytest_coordchaos import Mutant, MutantSuite, System
from reference_systems.rate_limiter.system import acquire, system

__all__ = ["MUTANTS"]


def _broken(mutant: str) -> System:
    return replace(system(), entry="reference_systems.rate_limiter.broken:main", options={"mutant": mutant})


def _mutant(name: str, doc: str, *, faults: Sequence[str] = (), seconds: float = 4.0, clients: int = 6) -> Mutant:
    return Mutant(
        name=name,
        doc=doc,
        system=partial(_broken, name),
        workload=partial(acquire, clients=clients),
        faults=faults,
        seconds=seconds,
        caught_by=("rate-limit",),
    )


MUTANTS = MutantSuite(
    name="rate_limiter",
    healthy=system,
    mutants=(
        _mutant("Bucket", "a token bucket as large as a second's rate: a second can admit twice the limit"),
        _mutant("OwnShare", "each node admits its share of the limit: a busy one denies while the others are idle", clients=1),
        _mutant("StaticNodes", "the number of nodes is written down once: with more of them the limit is another"),
        _mutant("WallClock", "counts by the wall clock, which can be set", faults=("jump:one",), seconds=8.0),
        _mutant("Unlocked", "looks for room in one step and takes it in another"),
    ),
)
