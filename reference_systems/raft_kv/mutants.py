"""R1 to R20: bugs that a Raft store can have, each with the experiment that must notice it."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from pytest_coordchaos import Mutant, MutantSuite, System
from reference_systems.raft_kv import schedules
from reference_systems.raft_kv.system import system
from reference_systems.raft_kv.workloads import register

__all__ = ["MUTANTS", "broken"]

_LOST = ("linearizable", "replicas-agree", "election-safety")


def broken(mutant: str, nodes: int = 3, **options: float) -> System:
    """The store with that bug (`broken.NODES`).

    Args:
        mutant: Its name.
        nodes, options: As for `system`.
    """
    healthy = system(nodes, **options)
    entry = "reference_systems.raft_kv.broken:main"
    return dataclasses.replace(healthy, entry=entry, options={**options, "mutant": mutant})


def _mutant(name: str, doc: str, *, nodes: int = 3, options: dict[str, float] | None = None, **given: Any) -> Mutant:
    given = {"workload": _LOADED, "caught_by": _LOST, **given}
    return Mutant(name=name, doc=doc, system=partial(broken, name, nodes, **(options or {})), **given)


_LOADED = partial(register, clients=8, rate_per_s=200, state_share=0.3, cas_share=0.2, keys=2)
_TALKATIVE = partial(register, clients=6, rate_per_s=120, state_share=0.6, cas_share=0.2, keys=2)

MUTANTS = MutantSuite(
    name="raft_kv",
    healthy=system,
    mutants=(
        _mutant(
            "R1",
            "a vote is forgotten by a crash: two leaders in one term",
            options={"election_min_ms": 1500, "election_max_ms": 1500, "pre_vote": 0},
            workload=_TALKATIVE,
            script=schedules.one_vote_twice,
            seconds=7.0,
        ),
        _mutant("R2", "the term is forgotten by a crash: terms are led twice", script=schedules.reboot, seconds=4.0),
        _mutant(
            "R3",
            "votes for a candidate whose log misses entries: acknowledged writes vanish",
            options={"pre_vote": 0},
            faults=("isolate:one", "kill:leader"),
            seconds=6.0,
        ),
        _mutant(
            "R4",
            "commits entries of earlier terms by counting (figure 8): what was applied is overwritten",
            nodes=5,
            options={"batch_entries": 1},
            workload=_TALKATIVE,
            script=schedules.figure_8,
            seconds=6.0,
        ),
        _mutant(
            "R5",
            "a leader answers reads without asking whether it still leads: stale reads",
            nodes=5,
            options={"election_max_ms": 1500},
            faults=("isolate:leader",),
            seconds=8.0,
        ),
        _mutant(
            "R6",
            "a lease counts from when answers were read, not from when they were asked: stale reads after a pause",
            options={"lease_ms": 140},
            workload=partial(register, clients=9, rate_per_s=200, keys=2, at_home=True),
            script=schedules.sleeping_leader,
            seconds=7.0,
        ),
        _mutant(
            "R7",
            "whoever is not heard does not count: both sides of a partition go on",
            faults=("partition:halves",),
            seconds=5.0,
        ),
        _mutant(
            "R8",
            "acknowledges before the disk has it: acknowledged writes vanish",
            workload=partial(register, clients=8, rate_per_s=200, keys=4),
            script=schedules.power_cut,
            seconds=4.0,
        ),
        _mutant(
            "R9",
            "commits what only the leader has: acknowledged writes vanish",
            faults=("isolate:leader", "kill:leader"),
            seconds=5.0,
        ),
        _mutant(
            "R10",
            "a command that comes again is done again: a cas fails by its own first try",
            workload=partial(register, clients=8, rate_per_s=200, cas_share=0.5, read_share=0.3),
            script=schedules.lost_answers,
            seconds=4.0,
        ),
        _mutant(
            "R11",
            "a follower takes entries whatever stands before them: replicas differ",
            options={"pre_vote": 0},
            faults=("isolate:one", "isolate:leader"),
            seconds=5.0,
        ),
        _mutant(
            "R12",
            "every append cuts what follows it: committed entries vanish from followers",
            options={"pipeline": 8, "batch_entries": 1},
            workload=partial(register, clients=12, rate_per_s=250, keys=3, state_share=0.3),
            script=schedules.reordered_twins,
            seconds=6.0,
            caught_by=(*_LOST, "caught-up"),
        ),
        _mutant(
            "R13",
            "a new leader reads before it knows what is committed: stale reads",
            workload=partial(register, clients=8, rate_per_s=250, keys=1),
            script=schedules.hasty_leader,
            seconds=6.0,
        ),
        _mutant(
            "R14",
            "a leader does not mind a higher term: two lead for ever",
            script=schedules.returning_leader,
            seconds=4.0,
            caught_by=("caught-up",),
        ),
        _mutant(
            "R15",
            "votes for every candidate of a term: two leaders in one term",
            options={"election_min_ms": 800, "election_max_ms": 800, "pre_vote": 0},
            script=schedules.two_candidates,
            seconds=4.0,
        ),
        _mutant(
            "R16",
            "a snapshot is taken for one that covers an entry more: replicas differ",
            options={"snapshot_every_entries": 20, "snapshot_keep_entries": 2},
            faults=("isolate:one", "kill:one"),
            seconds=5.0,
        ),
        _mutant(
            "R17",
            "voters are exchanged in one step: two majorities that do not overlap",
            nodes=5,
            options={"voters": 3},
            workload=partial(register, clients=10, rate_per_s=150, keys=2, at_home=True),
            script=schedules.other_voters,
            seconds=4.0,
        ),
        _mutant(
            "R18",
            "all servers wait for a leader equally long: votes are split again and again",
            nodes=5,
            options={"pre_vote": 0},
            script=schedules.slow_elections,
            seconds=6.0,
            invariants=("leader-soon",),
            caught_by=("leader-soon",),
        ),
        _mutant(
            "R19",
            "after a refusal the same append is sent again: a follower never catches up",
            options={"pre_vote": 0},
            faults=("isolate:one",),
            seconds=3.0,
            caught_by=("caught-up",),
        ),
        _mutant(
            "R20",
            "leases count on a clock that may step: stale reads",
            options={"lease_ms": 140},
            workload=partial(register, clients=9, rate_per_s=200, keys=2, at_home=True),
            script=schedules.leader_in_the_past,
            seconds=5.0,
        ),
    ),
)
