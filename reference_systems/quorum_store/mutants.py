"""What must notice each bug of `broken`, and under which faults."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_coordchaos import Model, Mutant, MutantSuite, Pause, System, Workload, register
from reference_systems.quorum_store.system import system

__all__ = ["MUTANTS"]

_BUSY: Callable[[], Workload] = partial(register, cas_share=0.0, keys=1, clients=6, rate_per_s=60)
_STALE = ("linearizable",)


def _broken(mutant: str, nodes: int) -> System:
    return replace(system(nodes), entry="reference_systems.quorum_store.broken:main", options={"mutant": mutant})


def _mutant(name: str, doc: str, *, nodes: int = 3, **given: Any) -> Mutant:
    return Mutant(name=name, doc=doc, system=partial(_broken, name, nodes), **{"workload": _BUSY, "caught_by": _STALE, **given})


async def _pause_the_first(cluster: Any, rng: random.Random) -> None:
    paused = await cluster.apply(Pause("n1"))
    await cluster.clock.sleep(3.0)
    await paused.undo()


async def _two_machines_lose_power(cluster: Any, rng: random.Random) -> None:
    await cluster.clock.sleep(1.0 + rng.random())
    dark = [await cluster.lose_power(node) for node in ("n1", "n2")]
    paused = await cluster.apply(Pause("n3"))
    for machine in dark:
        await machine.undo()
    await cluster.clock.sleep(0.5)
    await paused.undo()


MUTANTS = MutantSuite(
    name="quorum_store",
    healthy=system,
    mutants=(
        _mutant("NoWriteBack", "a read does not make sure that a majority has what it found", faults=("lose:40",)),
        _mutant("SaysFailed", "a write that too few have stored is answered as failed, and seen later", faults=("lose:40",)),
        _mutant(
            "InOrder",
            "waits for one answer after the other: a slow first replica holds up a full quorum",
            workload=partial(register, cas_share=0.0, rate_per_s=40),
            script=_pause_the_first,
            seconds=3.0,
            budgets={"p50_ms": 100},
            caught_by=("p50_ms",),
        ),
        _mutant(
            "WrongUnit",
            "milliseconds taken for seconds: without a majority nobody is told anything",
            workload=partial(register, cas_share=0.0, timeout_s=2.0, rate_per_s=30),
            faults=("isolate:one",),
            budgets={"p99_ms": 1200},
            caught_by=("p99_ms",),
        ),
        _mutant(
            "OneByOne",
            "asks one replica after the other, always the same ones first",
            nodes=5,
            workload=partial(register, cas_share=0.0, read_share=0.9, keys=20, clients=1, rate_per_s=20),
            seconds=3.0,
            model=Model.unit(),
            budgets={"p50_ms[get]": 2},
            caught_by=("p50_ms[get]",),
        ),
        _mutant("NoTieBreak", "two writers can choose one version", faults=("slow:20",)),
        _mutant("OwnVersions", "the writer brings its own version, which can be older than what is there"),
        _mutant("NothingIsNone", "no majority and no value are the same answer", faults=("isolate:one",)),
        _mutant("SmallQuorum", "a write quorum that a read quorum need not meet", faults=("slow:20",)),
        _mutant(
            "Unforced",
            "replicas acknowledge what is not on their disks",
            script=_two_machines_lose_power,
            seconds=3.0,
        ),
    ),
    not_here={
        "read repair": "is the write-back of a read, which NoWriteBack leaves out",
        "hidden missing keys": "no key is missing: an absent one has the value None, as the model says",
    },
)
