"""How a campaign learns what a test does: the test runs once in the simulator, and each `run(...)` of it is written down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.run import TestRequest
from pytest_coordchaos.simulation.shipping import dumps
from pytest_coordchaos.system.model import System
from pytest_coordchaos.workloads.model import Workload

__all__ = ["VARIABLE", "Sent", "capture"]

VARIABLE = "COORDCHAOS_CAPTURE"
"""Names the directory where scenarios are written; set by `coordchaos campaign` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A scenario that a test wrote down, for workers to read: only they find the test's modules.

    Args:
        parts: What `capture` wrote.
        swarm: See `Scenario`.
    """

    parts: bytes
    swarm: bool = True


def capture(system: System, workload: Workload, plan: Plan, request: TestRequest, known: Mapping[str, Invariant]) -> None:
    """Write down what is run, where a campaign asked for it; the plan gives its words and length, seeds draw their own."""
    place = os.environ.get(VARIABLE)
    if not place:
        return
    words = tuple(dict.fromkeys(event.word for event in plan.events))
    parts = {
        "system": system,
        "workload": workload,
        "faults": words,
        "seconds": plan.seconds,
        "request": request,
        "known": dict(known),
    }
    directory = Path(place)
    (directory / f"{len(list(directory.iterdir())) + 1}.scenario").write_bytes(dumps(parts))
