"""What is said of a membership, its failure detector and its ring, from answers made by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.checkers.spans import apart, downtimes, longest_quiet_ns, stops
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

OWN = (
    "membership-agreement",
    "detector-completeness",
    "detection-time",
    "detector-accuracy",
    "no-resurrection",
    "ring-balance",
    "minimal-key-movement",
    "lookups-agree",
)
S = 1_000_000_000
TOLD_S = 32
PROMISES = {"detection_s": 2.0, "suspicion_s": 2.0, "declaration_s": 5.0, "spread_s": 1.0}


@dataclass(frozen=True)
class Fault:
    """One fault; times in seconds."""

    words: str
    start: float
    end: float | None

    @property
    def start_ns(self) -> int:
        return round(self.start * S)

    @property
    def end_ns(self) -> int | None:
        return None if self.end is None else round(self.end * S)


def told(f: str, **by_node: Any) -> History:
    """In the end each node answered this."""
    at = TOLD_S * S
    return History(
        tuple(
            Operation(
                id=number,
                process=number,
                f=f,
                result=result,
                outcome=Outcome.OK,
                intended_ns=at,
                invoke_ns=at,
                return_ns=at,
                ended_ns=at,
                node=node.split("_")[0],
            )
            for number, (node, result) in enumerate(by_node.items(), start=1)
        )
    )


def log(*events: tuple[float, str, str, int, str]) -> dict[str, Any]:
    """A member's log, told when its own clock showed 1032 s: events are given in the run's seconds."""
    return {"now": 1000.0 + TOLD_S, "events": [[at + 1000, *rest] for at, *rest in events], "promises": PROMISES}


def check(name: str, history: History, *faults: Fault, **options: object) -> Verdict:
    """The verdict of an invariant."""
    return INVARIANTS[name].check(history, {"faults": faults, **options})


KILL = Fault("kill n1", 10, 30)
SEEN = ((1, "n1", "alive", 0, "n1"), (11, "n1", "suspect", 0, "n2"))


def test_views_agree_when_each_says_of_all_what_they_say_of_themselves() -> None:
    one = {"n1": ["alive", 0], "n2": ["alive", 2], "n3": ["dead", 0]}
    other = {"n2": ["alive", 2], "n1": ["alive", 0]}
    gone = {"n1": ["alive", 0], "n3": ["left", 4]}
    assert check("membership-agreement", told("members", n1=one, n2=other, n3=gone)).status is Status.HELD
    assert check("membership-agreement", told("members", n1=one)).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("view", "says"),
    [
        ({"n2": ["alive", 0]}, "n2 does not see n1, which is there"),
        ({"n2": ["alive", 0], "n1": ["dead", 0]}, "n2 does not see n1, which is there"),
        ({"n2": ["alive", 0], "n1": ["suspect", 0]}, r"n2 takes n1 for suspect \(incarnation 0\); it is alive \(0\)"),
        ({"n2": ["alive", 0], "n1": ["alive", 1]}, r"n2 takes n1 for alive \(incarnation 1\); it is alive \(0\)"),
        ({"n2": ["alive", 0], "n1": ["alive", 0], "n9": ["alive", 0]}, "n2 takes n9 for alive .*, which is gone"),
    ],
)
def test_views_that_differ_are_named(view: dict[str, Any], says: str) -> None:
    found = check("membership-agreement", told("members", n1={"n1": ["alive", 0], "n2": ["alive", 0]}, n2=view))
    assert found.status is Status.VIOLATED
    assert any(re.search(says, line) for line in found.details)


def test_a_crash_is_declared_by_each_observer_in_time_or_named() -> None:
    good = log(*SEEN, (13, "n1", "dead", 0, "n2"))
    held = check("detector-completeness", told("events", n2=good, n3=good), KILL)
    assert (held.status, held.summary) == (
        Status.HELD,
        "detector-completeness: held, 2 crashes (one for each observer) were declared in time",
    )
    late = check("detector-completeness", told("events", n2=good, n3=log(*SEEN, (15.3, "n1", "dead", 0, "n2"))), KILL)
    assert late.status is Status.VIOLATED
    assert late.details == ("n3 still took n1 for suspect at 15.110 s: n1 was down from 10.000 s to 30.000 s",)


def test_a_clock_that_drifted_blurs_the_times_it_tells() -> None:
    late = told("events", n2=log(*SEEN, (16, "n1", "dead", 0, "n2")))
    assert check("detector-completeness", late, KILL).status is Status.VIOLATED
    assert check("detector-completeness", late, KILL, Fault("drift clock of n2 at rate 1.05", 20, 25)).status is Status.HELD
    death = told("events", n2=log(*DEATH))
    paused = Fault("pause n1", 7, 8.2)
    assert check("detector-accuracy", death, paused, Fault("drift clock of n2 at rate 0.95", 20, 25)).status is Status.HELD


@pytest.mark.parametrize(
    ("faults", "events"),
    [
        ((Fault("kill n1", 10, 14),), SEEN),  # too short to be declared
        ((KILL, Fault("pause n2", 12, 13)), SEEN),  # the observer did not run
        ((KILL,), ()),  # it never knew of it
        ((), SEEN),
    ],
)
def test_a_crash_that_could_not_be_declared_says_nothing(faults: tuple[Fault, ...], events: Any) -> None:
    assert check("detector-completeness", told("events", n2=log(*events)), *faults).status is Status.UNKNOWN


def test_a_last_word_of_the_dead_begins_the_time_again() -> None:
    word = (14.0, "n1", "alive", 1, "n3")
    heard = told("events", n2=log(*SEEN, word, (18, "n1", "dead", 1, "n2")))
    assert check("detector-completeness", heard, KILL).status is Status.HELD
    assert check("detector-completeness", told("events", n2=log(*SEEN, word, (20, "n1", "dead", 1, "n2"))), KILL).status is (
        Status.VIOLATED
    )


@pytest.mark.parametrize(
    ("suspected", "dead", "dead_elsewhere", "status"),
    [
        (11.9, 14.0, 14.9, Status.HELD),
        (12.3, 14.0, 14.9, Status.VIOLATED),
        (11.9, 14.0, 15.3, Status.VIOLATED),
    ],
)
def test_times_of_detection_and_spread(suspected: float, dead: float, dead_elsewhere: float, status: Status) -> None:
    one = log(SEEN[0], (suspected, "n1", "suspect", 0, "n2"), (dead, "n1", "dead", 0, "n2"))
    other = log(SEEN[0], (11, "n1", "suspect", 0, "n2"), (dead_elsewhere, "n1", "dead", 0, "n3"))
    history = told("events", n2=one, n3=other)
    assert check("detection-time", history, KILL).status is status
    assert check("detection-time", history, KILL, Fault("lose 20 % of frames between n1,n2", 9, 10)).status is Status.UNKNOWN
    assert check("detection-time", history, KILL, detection_s=5, spread_s=5).status is Status.HELD


DEATH = (SEEN[0], (8.0, "n1", "suspect", 0, "n2"), (10.0, "n1", "dead", 0, "n2"))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("pause n1", 7, 9),
        Fault("pause n2", 8.5, 9.9),
        Fault("kill n3; kill n1", 7.5, 9),
        Fault("partition {n1,n3} | {n2}", 7, 9.5),
        Fault("hold partition {n1} | {n2,n3}", 7, None),
        Fault("partition where only n1-n3, n2-n3 talk", 7, 9.5),
    ],
)
def test_a_declaration_is_right_when_the_subject_could_not_refute_in_time(fault: Fault) -> None:
    assert check("detector-accuracy", told("events", n2=log(*DEATH)), fault).status is Status.HELD


@pytest.mark.parametrize(
    "fault",
    [
        Fault("pause n1", 7, 8.2),  # long over
        Fault("kill n3", 7, 9),
        Fault("cut n1 -> n2", 7, 9),  # others could tell
        Fault("lose 20 % of frames between n1,n2,n3", 0, 20),
        Fault("partition {n1,n2} | {n3}", 7, 9.5),
        Fault("partition where only n1-n2, n2-n3 talk", 7, 9.5),
    ],
)
def test_a_declaration_of_somebody_who_could_refute_is_false(fault: Fault) -> None:
    found = check("detector-accuracy", told("events", n2=log(*DEATH)), fault)
    assert found.status is Status.VIOLATED
    assert "at 10.000 s n2 declared n1 dead (incarnation 0)" in found.details[0]


def test_who_was_only_told_of_a_death_is_not_to_blame() -> None:
    heard = log(SEEN[0], (10.0, "n1", "dead", 0, "n3"))
    assert check("detector-accuracy", told("events", n2=heard)).status is Status.HELD
    assert check("detector-accuracy", told("events", n2=log())).status is Status.UNKNOWN


def test_many_suspicions_without_a_cause_are_false_and_few_are_not() -> None:
    often = log(*((10.0 + 3 * k, "n1", state, k, "n2") for k in range(9) for state in ("suspect", "alive")))
    history = told("events", n2=often)
    assert check("detector-accuracy", history, suspicions_per_s=0).status is Status.VIOLATED
    assert check("detector-accuracy", history, Fault("lose 20 % of frames between n1,n2", 0, 90), suspicions_per_s=0).status is (
        Status.HELD
    )


@pytest.mark.parametrize(("state", "incarnation"), [("alive", 0), ("suspect", 0), ("dead", 0)])
def test_a_belief_that_was_overridden_does_not_come_back(state: str, incarnation: int) -> None:
    beliefs = (*SEEN, (13, "n1", "dead", 0, "n2"))
    back = check("no-resurrection", told("events", n2=log(*beliefs, (14, "n1", state, incarnation, "n3"))))
    assert back.status is Status.VIOLATED
    assert f"n2 took n1 for {state} (incarnation 0, told by n3); it had been dead (0) since 13.000 s" in back.details[0]
    assert check("no-resurrection", told("events", n2=log(*beliefs, (14, "n1", "alive", 1, "n3")))).status is Status.HELD


def ring(members: str, owners: str) -> dict[str, Any]:
    """Members and the owner of key 0, 1, 2 …, one letter each."""
    return {"members": list(members), "owners": {str(key): owner for key, owner in enumerate(owners)}}


def test_balance_is_the_greatest_share_over_the_mean() -> None:
    history = told("ring", n1=ring("ab", "aaab"))
    assert check("ring-balance", history).summary == "ring-balance: held, greatest share 1.50 <= 1.5 × mean"
    assert check("ring-balance", history, limit=1.4).details == ("a owns 75.0% of the keys of 2 members, as n1 tells",)
    assert check("ring-balance", History()).status is Status.UNKNOWN
    with pytest.raises(UsageError, match=r"ring-balance: limit=0\.5 is not allowed; wanted: a number from 1"):
        check("ring-balance", history, limit=0.5)


def test_keys_move_only_to_who_comes_and_from_who_goes() -> None:
    two, three = ring("ab", "aaabbb"), ring("abc", "aacbbc")
    assert check("minimal-key-movement", told("ring", n1=two, n2=three)).status is Status.HELD
    needless = check("minimal-key-movement", told("ring", n1=two, n2=ring("abc", "bacbbc")))
    assert (needless.status, needless.details) == (Status.VIOLATED, ("0 moved from a to b, both there all the time",))
    greedy = check("minimal-key-movement", told("ring", n1=two, n2=ring("abc", "cccccb")))
    assert greedy.status is Status.VIOLATED
    assert check("minimal-key-movement", told("ring", n1=two, n2=two)).status is Status.UNKNOWN


def test_the_same_members_have_the_same_owners() -> None:
    assert check("lookups-agree", told("ring", n1=ring("ab", "ab"), n2=ring("ba", "ab"))).status is Status.HELD
    other = check("lookups-agree", told("ring", n1=ring("ab", "ab"), n2=ring("ab", "aa")))
    assert (other.status, other.details) == (Status.VIOLATED, ("1 belongs to b as n1 tells, to a as n2 does",))
    assert check("lookups-agree", told("ring", n1=ring("ab", "ab"), n2=ring("abc", "ab"))).status is Status.UNKNOWN


def test_what_is_not_their_own_is_ignored() -> None:
    for name in OWN:
        assert check(name, told("get", n1=1, n2=2)).status is Status.UNKNOWN, name


def test_spans_of_faults() -> None:
    faults = [Fault("kill n1; kill n2", 1, 2), Fault("pause n1", 3, 4), Fault("partition {n1} | {n2,n3}", 5, 6)]
    assert downtimes(faults) == {"n1": [(1 * S, 2 * S)], "n2": [(1 * S, 2 * S)]}
    assert stops(faults)["n1"] == [(1 * S, 2 * S), (3 * S, 4 * S)]
    assert apart(faults, "n3", "n1") == [(5 * S, 6 * S)]
    assert apart(faults, "n2", "n3") == []
    assert longest_quiet_ns([(3, 5), (1, 4), (20, 30)], (0, 12)) == 7
    assert longest_quiet_ns([(0, 12)], (3, 9)) == 0
