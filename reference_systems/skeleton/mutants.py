"""What must notice each bug of `broken`, and under which faults."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pytest_coordchaos import Mutant, MutantSuite, System, register
from reference_systems.skeleton.system import system

__all__ = ["MUTANTS"]


def _broken(mutant: str) -> System:
    return replace(system(), entry="reference_systems.skeleton.broken:main", options={"mutant": mutant})


MUTANTS = MutantSuite(
    name="skeleton",
    healthy=system,
    mutants=(
        Mutant(
            name="hasty",
            doc="answers before the rest of the chain has the write",
            system=partial(_broken, "hasty"),
            workload=partial(register, cas_share=0.0, rate_per_s=50),
            faults=("slow:20",),
            seconds=3,
            caught_by=("linearizable",),
        ),
        Mutant(
            name="forgetful",
            doc="does not force its writes",
            system=partial(_broken, "forgetful"),
            workload=partial(register, cas_share=0.0, rate_per_s=50),
            faults=("power-loss:n3",),
            seconds=4,
            caught_by=("linearizable",),
        ),
        Mutant(
            name="talkative",
            doc="passes every write on twice",
            system=partial(_broken, "talkative"),
            workload=partial(register, cas_share=0.0, read_share=0.0, rate_per_s=20),
            seconds=2,
            budgets={"messages_per_op": 4},
            caught_by=("messages_per_op",),
        ),
    ),
    not_here={"two leaders": "there are none: the order of the chain is given, and never changes"},
)
