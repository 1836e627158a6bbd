"""The mutants of the ring and the experiments that must notice them. The numbers are those of `broken.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from pytest_coordchaos import Mutant, MutantSuite, System, Workload
from reference_systems.gossip_ring.schedules import crash_after_clock_steps, crash_on_slow_links, crashes, cut_one_way
from reference_systems.gossip_ring.system import system
from reference_systems.gossip_ring.workloads import lookups

__all__ = ["MUTANTS"]

_PERIOD_S = 0.1
_FAST: Mapping[str, Any] = MappingProxyType({"period_ms": 1000 * _PERIOD_S, "probe_timeout_ms": 30.0})
"""Short periods, so that a second of load is ten of them."""


def _healthy(nodes: int = 5) -> System:
    return system(nodes, **_FAST)


def _broken(name: str, nodes: int, options: Mapping[str, Any]) -> System:
    entry = "reference_systems.gossip_ring.broken:main"
    return replace(_healthy(nodes), entry=entry, options={**_FAST, **options, "mutant": name})


def _load() -> Workload:
    return lookups(rate_per_s=10, within_s=5)


def _mutant(name: str, doc: str, caught_by: tuple[str, ...], *, nodes: int = 5, **scenario: Any) -> Mutant:
    made = partial(_broken, name, nodes, scenario.pop("options", {}))
    return Mutant(name=name, doc=doc, system=made, workload=_load, caught_by=caught_by, **scenario)


MUTANTS = MutantSuite(
    name="gossip_ring",
    healthy=_healthy,
    mutants=(
        _mutant(
            "S1",
            "no incarnation numbers: whoever speaks last is believed",
            ("no-resurrection", "detector-accuracy"),
            faults=("pause:one",),
        ),
        _mutant("S2", "no suspicion: one failed probe is death", ("detector-accuracy",), faults=("lose",)),
        _mutant(
            "S3",
            "no indirect probe: what one member cannot reach is suspected",
            ("detector-accuracy",),
            script=cut_one_way(for_s=5),
            seconds=7,
        ),
        _mutant(
            "S4",
            "no piggyback: messages carry no updates",
            ("detection-time", "detector-accuracy"),
            nodes=8,
            script=crashes(times=2, down_s=4, up_s=2.8),
            invariants=("detection-time",),
            seconds=8,
        ),
        _mutant(
            "S5",
            "an update is told for ever",
            ("background_bytes_per_s",),
            nodes=8,
            script=crashes(times=2, down_s=2, up_s=2.8),
            budgets={"background_bytes_per_s": 60 * 2.2 * 8 / _PERIOD_S},
            seconds=10,
        ),
        _mutant(
            "S6",
            "an update is told twice, however many members there are",
            ("detection-time",),
            nodes=16,
            script=crashes(times=2, down_s=4, up_s=2.8),
            invariants=("detection-time",),
            seconds=14,
        ),
        _mutant(
            "S7",
            "targets drawn with replacement: no bound on the time to a probe",
            ("detection-time",),
            nodes=3,
            script=crashes(times=10, down_s=2.2, up_s=2.8),
            invariants=("detection-time",),
            seconds=52,
            options={"period_ms": 400.0, "probe_timeout_ms": 100.0},
        ),
        _mutant(
            "S8", "a refutation reuses the incarnation", ("membership-agreement", "detector-accuracy"), faults=("pause:one",)
        ),
        _mutant(
            "S9",
            "the dead are never contacted again and views never exchanged",
            ("membership-agreement",),
            faults=("partition:halves",),
            seconds=6,
        ),
        _mutant(
            "S10",
            "the suspicion time does not grow with the group",
            ("detector-accuracy",),
            nodes=16,
            faults=("lose:30",),
        ),
        _mutant(
            "S11",
            "all-to-all heartbeats",
            ("background_messages_per_s",),
            budgets={"background_messages_per_s": 3.5 * 5 / _PERIOD_S},
        ),
        _mutant(
            "S12",
            "an acknowledgement has no number: a late one of somebody else counts for the dead",
            ("detector-completeness",),
            script=crash_on_slow_links(one_way_ms=60, down_s=4, up_s=2),
            invariants=("detector-completeness",),
            seconds=8,
        ),
        _mutant(
            "S13",
            "timeouts count on the wall clock",
            ("detector-completeness",),
            script=crash_after_clock_steps(step_s=600, down_s=4, up_s=1),
            invariants=("detector-completeness",),
            seconds=8,
        ),
        _mutant(
            "S14",
            "the dead are forgotten after a period",
            ("no-resurrection",),
            script=crashes(times=2, down_s=4, up_s=1),
            seconds=10,
        ),
        _mutant(
            "S15",
            "who was declared dead stays dead, whatever it says",
            ("membership-agreement",),
            script=crashes(times=1, down_s=3, up_s=1),
            seconds=5,
        ),
        _mutant("S16", "only seeds let somebody in, and they tell nobody", ("membership-agreement",), seconds=3),
        _mutant(
            "S17",
            "seeds are asked only by who is alone: islands of the start never find each other",
            ("membership-agreement",),
            seconds=3,
        ),
        _mutant(
            "H1",
            "the owner is the hash modulo the number of members",
            ("minimal-key-movement",),
            script=crashes(times=1, down_s=4, up_s=1),
            invariants=("minimal-key-movement",),
            seconds=6,
        ),
        _mutant("H2", "no virtual nodes", ("ring-balance",), seconds=2),
        _mutant("H3", "each process hashes in its own way", ("lookups-agree",), seconds=2),
    ),
    not_here={},
)
