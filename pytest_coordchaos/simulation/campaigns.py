"""What a campaign keeps of the simulated clusters that its test starts. Outside of campaigns there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.faults.plan import Plan
from pytest_coordchaos.run import TestRequest
from pytest_coordchaos.simulation.client import Worker
from pytest_coordchaos.simulation.shipping import dumps
from pytest_coordchaos.system.model import System
from pytest_coordchaos.workloads.model import Workload

__all__ = ["Ended", "Keeper", "Look", "Sent", "Whole", "begin", "did", "end", "give_back", "keeper", "parts_of", "worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A scenario that a test wrote down, for workers to read: only they find the test's modules.

    Args:
        parts: The arguments of a `Scenario`, as `shipping.dumps` wrote them.
        swarm: Each seed draws some of the fault words.
    """

    parts: bytes
    swarm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A test that is run from its fixtures to its last line with each seed.

    Args:
        test: The test as pytest names it.
        log: Where what its processes print goes.
    """

    test: str
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one performance of a test showed.

    Args:
        nodes: The nodes of its cluster.
        program: The program's modules, and the test's -> digests of their sources.
        parts: Its scenario, where the test is one call of `run` (or `explore`); None: it must be performed whole.
    """

    nodes: tuple[str, ...]
    program: Mapping[str, str]
    parts: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is left of a simulated cluster.

    Args:
        nodes: Its nodes.
        digest: Hash of all that happened.
        virtual_s: How long it lived.
        partitions: Groups of the partitions that were made.
        lines: Its trace, where it was asked for.
    """

    nodes: tuple[str, ...]
    digest: str
    virtual_s: float
    partitions: tuple[tuple[tuple[str, ...], ...], ...]
    lines: tuple[str, ...]


class Keeper:
    """One performance of a test for a campaign.

    Args:
        spare: Worker processes to use again; those of this performance are added when their clusters stop.
        keep_trace: Keep whole traces.

    Attributes:
        scenarios: What `run` and `explore` were asked to do, written down.
        explored: `explore` was asked.
        verbs: How often the test did something to a cluster itself.
        ended: The clusters that were stopped.
        program: Modules of the program -> digests of their sources, where it only looks.
    """

    def __init__(self, spare: list[Worker], *, keep_trace: bool = False, only_look: bool = False) -> None:
        self.spare = spare
        self.keep_trace = keep_trace
        self.only_look = only_look
        self.scenarios: list[bytes] = []
        self.explored = False
        self.verbs = 0
        self.ended: list[Ended] = []
        self.program: dict[str, str] = {}

    def asked(self, parts: Mapping[str, Any], *, explored: bool = False) -> None:
        """The test asked for a run, or for an exploration."""
        self.scenarios += [dumps(dict(parts))] if self.only_look else []
        self.explored |= explored


def parts_of(
    system: System, workload: Workload, plan: Plan, request: TestRequest, known: Mapping[str, Invariant]
) -> dict[str, Any]:
    """What `run` was asked, as arguments of a `Scenario`; the plan gives its words and length, seeds draw their own."""
    return {
        "system": system,
        "workload": workload,
        "faults": tuple(dict.fromkeys(event.word for event in plan.events)),
        "seconds": plan.seconds,
        "request": request,
        "known": dict(known),
    }


keeper: Keeper | None = None
"""Of the campaign that runs in this process; None: there is none."""


def begin(one: Keeper) -> None:
    """From now on clusters are this campaign's."""
    global keeper
    keeper = one


def end() -> None:
    """The performance is over."""
    global keeper
    keeper = None


def did() -> None:
    """The test did something to a cluster itself."""
    if keeper is not None:
        keeper.verbs += 1


def worker(log: Path) -> Worker:
    """A process for one cluster: a campaign's spare one, or a new one that prints to `log`."""
    if keeper is None:
        return Worker(log)
    return keeper.spare.pop() if keeper.spare else Worker()


def give_back(used: Worker) -> None:
    """A cluster is over: its process ends, or waits for the campaign's next."""
    if keeper is None:
        used.close()
        return
    try:
        ended = used.ask("stop")
        if keeper.only_look:
            keeper.program |= used.ask("sources")
    except CoordChaosError:
        used.close()  # it died, or what it did was given up
        return
    if ended is not None:
        keeper.ended.append(ended)
    keeper.spare.append(used)
