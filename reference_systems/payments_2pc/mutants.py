"""T1 to T18: mistakes that an atomic commit can have, each with the experiment that must notice it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pytest_coordchaos import Mutant, MutantSuite, System
from reference_systems.payments_2pc.schedules import half_told
from reference_systems.payments_2pc.system import system
from reference_systems.payments_2pc.workload import transfers

__all__ = ["MUTANTS", "broken"]

Script = Callable[[Any, Any], Coroutine[Any, Any, None]]


def broken(mutant: str, nodes: int = 3, **options: Any) -> System:
    """The service with that mistake (`payments_2pc.broken`).

    Args:
        mutant: Its name.
        nodes, options: As for `system`.
    """
    healthy = system(nodes, **options)
    return dataclasses.replace(healthy, entry="reference_systems.payments_2pc.broken:main", options={**options, "mutant": mutant})


def _mutant(name: str, doc: str, faults: tuple[str, ...] | Script, *caught_by: str, nodes: int = 3, **options: Any) -> Mutant:
    return Mutant(
        name=name,
        doc=doc,
        system=partial(broken, name, nodes, **options),
        workload=partial(transfers, rate_per_s=60.0),
        faults=faults if isinstance(faults, tuple) else (),
        script=None if isinstance(faults, tuple) else faults,
        seconds=6.0,
        caught_by=caught_by,
    )


_CUT = ("partition:halves", "isolate:one")

MUTANTS = MutantSuite(
    name="payments_2pc",
    healthy=system,
    mutants=(
        _mutant("T1", "tells a commit without having written it down", half_told, "ac1-agreement"),
        _mutant(
            "T2",
            "writes the commit down without forcing it: it goes along with the next record that is forced",
            half_told,
            "ac1-agreement",
        ),
        _mutant("T3", "a participant in doubt aborts by itself", _CUT, "ac1-agreement"),
        _mutant("T4", "a participant in doubt commits by itself", _CUT, "ac1-agreement"),
        _mutant("T5", "votes yes without having written the promise down", ("kill:one", "kill:one"), "ac3-validity", "bank"),
        _mutant("T6", "ignores the idempotency key of a retry", ("pause:leader", "kill:leader"), "no-duplicate-transactions"),
        _mutant("T7", "forgets a commit that not everybody has acknowledged", _CUT, "ac1-agreement"),
        _mutant("T8", "releases locks with the vote", ("slow:20",), "bank"),
        _mutant("T9", "counts a missing vote as yes", _CUT, "ac3-validity"),
        _mutant("T10", "commits on a majority of yes", (), "ac3-validity", nodes=5),
        _mutant("T11", "tells a commit once, and never again", ("lose:20",), "ac5-termination", "locks-released"),
        _mutant("T12", "applies a commit that comes twice twice", ("duplicate:20",), "no-duplicate-transactions", "bank"),
        _mutant("T13", "accepts a question that comes after its abort", ("reorder:30",), "ac1-agreement", presumed="commit"),
        _mutant("T14", "numbers transactions from 1 after a restart", ("kill:leader",), "ac1-agreement", "ac2-irrevocable"),
        _mutant("T15", "a writer votes read-only", (), "no-duplicate-transactions", "reads-explained", read_only=True),
        _mutant("T16", "tells nobody of an abort but the client", (), "ac5-termination", "locks-released"),
        _mutant("T18", "answers abort while votes are being collected", ("reorder:30",), "ac1-agreement", inquire_ms=10.0),
        _mutant("SOURCE", "a coordinator from the lessons: one after the other, nothing written", half_told, "ac1-agreement"),
    ),
    not_here={
        "T17": "three-phase commit deciding two ways under a partition: a limit of that protocol, not a bug; nothing here "
        "decides without the coordinator, so there is no such step to break",
    },
)
"""All of them, with the faults that bring them to light."""
