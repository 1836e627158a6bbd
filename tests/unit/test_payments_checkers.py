"""The invariants of payment services, against histories made by hand and against brute force."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_coordchaos.checkers.bank import check_bank, check_reads
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.verdicts import Status, Verdict

S = 1_000_000_000
OPENED = {"a": 10, "b": 10}


@dataclass(frozen=True)
class Fault:
    words: str
    start_ns: int
    end_ns: int | None


def op(number: int, f: str, begun: float, ended: float, *, outcome: str = "ok", **given: Any) -> Operation:
    """One operation, times in seconds."""
    ended_ns = int(ended * S)
    return_ns = INFINITY_NS if outcome == "info" else ended_ns
    times = {"intended_ns": int(begun * S), "invoke_ns": int(begun * S), "return_ns": return_ns, "ended_ns": ended_ns}
    return Operation(id=number, process=number, f=f, outcome=Outcome(outcome), **times, **given)


def said(number: int, node: str, at: float, f: str = "decisions", **parts: Any) -> Operation:
    """What a node answered."""
    return op(number, f, at, at + 0.01, node=node, result=parts)


def judged(name: str, *operations: Operation, **options: Any) -> Verdict:
    return INVARIANTS[name].check(History.of(operations), options)


def status(name: str, *operations: Operation, **options: Any) -> Status:
    return judged(name, *operations, **options).status


ALL = (
    "ac1-agreement",
    "ac2-irrevocable",
    "ac3-validity",
    "ac4-no-needless-abort",
    "ac5-termination",
    "bank",
    "reads-explained",
    "no-duplicate-transactions",
    "locks-released",
)


@pytest.mark.parametrize("name", ALL)
def test_nothing_observed_is_unknown(name: str) -> None:
    other = op(1, "get", 0, 1, key="x", result=1)

    assert status(name) == status(name, other) == Status.UNKNOWN


def test_ac1_two_nodes_that_decide_differently() -> None:
    good = (said(1, "n1", 1, decided={"t": "commit"}), said(2, "n2", 2, decided={"t": "commit", "u": "abort"}))
    verdict = judged("ac1-agreement", *good, said(3, "n3", 3, coordinated={"t": "abort"}))

    assert status("ac1-agreement", *good) is Status.HELD
    assert verdict.status is Status.VIOLATED
    assert "n1 (participant) says commit" in verdict.summary
    assert "n3 (coordinator) says abort" in verdict.summary


def test_ac2_a_node_that_changes_its_mind() -> None:
    story = (said(1, "n1", 1, decided={"t": "abort"}), said(2, "n1", 2, decided={}), said(3, "n1", 3, decided={"t": "commit"}))

    assert status("ac2-irrevocable", *story) is Status.VIOLATED
    assert status("ac2-irrevocable", *story[:2]) is Status.HELD
    assert status("ac1-agreement", *story) is Status.HELD  # one node: agreement is of several


def test_ac3_a_commit_in_spite_of_a_no_or_without_a_yes() -> None:
    commit = said(1, "n1", 1, coordinated={"t": "commit"}, enlisted={"t": ["n2", "n3"]})
    yes, no = said(2, "n2", 2, votes={"t": "yes"}), said(3, "n3", 2, votes={"t": "no"})
    silent, forgetful = said(3, "n3", 2, votes={}), said(3, "n3", 2, votes={}, forgotten=4)
    last = said(4, "n1", 2, coordinated={"t": "commit"}, enlisted={"t": ["n2", "n3"]})

    assert status("ac3-validity", commit, yes, no) is Status.VIOLATED
    assert "n3 never voted yes" in judged("ac3-validity", commit, yes, silent, last).summary
    assert status("ac3-validity", commit, yes, forgetful, last) is Status.HELD
    assert status("ac3-validity", commit, yes, last) is Status.HELD  # n3 is not there to be asked
    assert status("ac3-validity", commit, yes, said(3, "n3", 2, decided={"t": "commit"}), last) is Status.HELD


def test_ac4_an_abort_although_nothing_failed_and_all_said_yes() -> None:
    story = (
        said(1, "n1", 1, coordinated={"t": "abort"}, enlisted={"t": ["n2", "n3"]}),
        said(2, "n2", 1, votes={"t": "yes"}),
        said(3, "n3", 1, votes={"t": "read-only"}),
    )

    assert status("ac4-no-needless-abort", *story) is Status.VIOLATED
    assert status("ac4-no-needless-abort", *story, faults=(Fault("slow", 0, S),)) is Status.HELD
    assert status("ac4-no-needless-abort", *story[:2], said(3, "n3", 1, votes={"t": "no"})) is Status.HELD


def _doubts(*times: float) -> list[Operation]:
    return [said(number, "n2", at, in_doubt={"t": at}) for number, at in enumerate(times, start=1)]


def test_ac5_in_doubt_for_ever_is_counted_from_the_last_fault() -> None:
    faults = (Fault("kill n1", 0, 3 * S),)

    assert status("ac5-termination", *_doubts(4, 8, 12), faults=faults) is Status.VIOLATED
    assert status("ac5-termination", *_doubts(1, 2, 4, 8), faults=faults) is Status.UNKNOWN
    assert status("ac5-termination", *_doubts(4, 8, 12), faults=(Fault("kill n1", 0, None),)) is Status.UNKNOWN
    assert status("ac5-termination", *_doubts(4, 8, 12), said(9, "n2", 13, in_doubt={}), faults=faults) is Status.HELD
    assert status("ac5-termination", *_doubts(4, 8), within_s=2.0) is Status.VIOLATED


def test_locks_that_stay_held_by_one_holder() -> None:
    def held(number: int, at: float, holder: str) -> Operation:
        return said(number, "n2", at, f="locks", held={"a": [holder]})

    assert status("locks-released", held(1, 1, "t"), held(2, 9, "t")) is Status.VIOLATED
    assert status("locks-released", held(1, 1, "t"), held(2, 9, "u")) is Status.UNKNOWN
    assert status("locks-released", held(1, 1, "t"), said(2, "n2", 9, f="locks", held={})) is Status.HELD


def _charges(number: int, at: float, node: str = "n1", *, applied: Any, forgotten: int = 0) -> Operation:
    return said(number, node, at, f="charges", applied=applied, forgotten=forgotten)


def test_charges_lost_duplicated_unexpected_and_recovered() -> None:
    name = "no-duplicate-transactions"
    paid = op(1, "transfer", 0, 1, key="k")
    refused, lost_sight = op(2, "transfer", 0, 1, key="r", outcome="fail"), op(3, "transfer", 0, 1, key="i", outcome="info")

    assert "1 recovered" in judged(name, paid, refused, lost_sight, _charges(9, 5, applied=["k", "i"])).summary
    assert "duplicated" in judged(name, paid, _charges(9, 5, applied={"k": 2})).summary
    assert "duplicated" in judged(name, paid, _charges(9, 5, applied=["k", "k"])).summary
    assert "lost" in judged(name, paid, _charges(9, 5, applied=[])).summary
    assert "did not happen" in judged(name, paid, refused, _charges(9, 5, applied=["k", "r"])).summary
    assert "nobody used" in judged(name, paid, _charges(9, 5, applied=["k", "x"])).summary
    assert status(name, op(1, "pay", 0, 1, key="k"), _charges(9, 5, applied=["k"]), of="pay") is Status.HELD


def test_charges_nothing_is_lost_where_a_node_is_silent_forgot_or_was_asked_before() -> None:
    name, paid = "no-duplicate-transactions", op(1, "transfer", 0, 1, key="k")
    silent = op(8, "charges", 5, 6, node="n2", outcome="info")

    assert status(name, paid, _charges(9, 5, applied=[]), silent) is Status.HELD
    assert status(name, paid, _charges(9, 5, applied=[], forgotten=1)) is Status.HELD
    assert status(name, paid, _charges(9, 0.5, applied=[])) is Status.HELD


def test_bank_sum_and_negatives() -> None:
    opened = said(1, "n1", 0, f="accounts", balances=OPENED, opened=OPENED)

    def total(number: int, **result: Any) -> Operation:
        return op(number, "total", number, number + 0.5, result=result)

    assert status("bank", opened, total(2, a=5, b=15)) is Status.HELD
    assert "reads 19, wanted 20" in judged("bank", opened, total(2, a=5, b=14)).summary
    assert "negative" in judged("bank", opened, total(2, a=-5, b=25)).summary
    assert status("bank", opened, total(2, a=-5, b=25), negative_balances=True) is Status.HELD
    assert "no money" in judged("bank", opened, total(2, a=None, b=20)).summary
    assert status("bank", total(1, a=1, b=1), total(2, a=1, b=2)) is Status.VIOLATED  # the first says what the sum is
    assert status("bank", total(1, a=1, b=1), total=2) is Status.HELD


def _transfer(number: int, begun: float, ended: float, amount: int, outcome: str = "ok") -> Operation:
    return op(number, "transfer", begun, ended, key=f"k{number}", value=[["a", -amount], ["b", amount]], outcome=outcome)


def _total(number: int, begun: float, ended: float, a: int, b: int) -> Operation:
    return op(number, "total", begun, ended, result={"a": a, "b": b})


def test_reads_see_whole_transfers_that_happened() -> None:
    name, done, failed = "reads-explained", _transfer(1, 0, 1, 3), _transfer(2, 0, 1, 5, "fail")
    lost_sight = _transfer(3, 0, 1, 2, "info")

    assert status(name, done, failed, _total(9, 2, 3, 7, 13), initial=OPENED) is Status.HELD
    assert status(name, done, failed, _total(9, 2, 3, 10, 10), initial=OPENED) is Status.VIOLATED  # misses what was acknowledged
    assert status(name, done, failed, _total(9, 2, 3, 2, 18), initial=OPENED) is Status.VIOLATED  # sees what failed
    assert status(name, done, _total(9, 2, 3, 7, 10), initial=OPENED) is Status.VIOLATED  # half of it
    assert status(name, done, lost_sight, _total(9, 2, 3, 5, 15), initial=OPENED) is Status.HELD
    balance = op(9, "balance", 2, 3, key="b", result=13)
    assert status(name, done, balance, initial=OPENED) is Status.HELD
    assert status(name, balance, initial=OPENED) is Status.VIOLATED


def test_what_was_seen_once_cannot_go_away_and_what_was_never_applied_was_not_seen() -> None:
    name, lost_sight = "reads-explained", _transfer(1, 0, 1, 3, "info")
    seen, gone = _total(2, 2, 3, 7, 13), _total(3, 4, 5, 10, 10)

    assert status(name, lost_sight, seen, gone, initial=OPENED) is Status.VIOLATED
    assert status(name, lost_sight, gone, _total(9, 6, 7, 7, 13), initial=OPENED) is Status.HELD
    assert status(name, lost_sight, seen, _charges(9, 9, applied=[]), initial=OPENED) is Status.VIOLATED


def _explained_by_force(operations: list[Operation], read: Operation) -> bool:
    """Whether any set of transfers explains the read: all sets are tried."""
    asked = [one for one in operations if one.f == "transfer" and one.outcome is not Outcome.FAIL]
    must = [one for one in asked if one.return_ns <= read.invoke_ns]
    free = [one for one in asked if one not in must and one.invoke_ns <= read.return_ns]
    for size in range(len(free) + 1):
        for chosen in itertools.combinations(free, size):
            balances = dict(OPENED)
            for one in (*must, *chosen):
                for account, amount in one.value:
                    balances[account] += amount
            if balances == read.result:
                return True
    return False


def test_reads_agree_with_brute_force() -> None:
    """One read among random transfers, right or a little off: the same verdict as from trying all sets."""
    rng, verdicts = random.Random(1), set()
    for _ in range(300):
        operations = []
        for number in range(1, rng.randint(2, 8)):
            begun = rng.uniform(0, 5)
            outcome = rng.choice(["ok", "ok", "info", "fail"])
            operations.append(_transfer(number, begun, begun + rng.uniform(0.1, 3), rng.randint(1, 4), outcome))
        shift = sum(one.value[1][1] for one in operations if rng.random() < 0.5)
        read = _total(99, 2.5, rng.uniform(2.6, 4), 10 - shift, 10 + shift + rng.choice([0, 0, 0, 1]))
        expected = Status.HELD if _explained_by_force(operations, read) else Status.VIOLATED
        verdicts.add(expected)

        assert check_reads(History.of([*operations, read]), {"initial": OPENED}).status is expected

    assert verdicts == {Status.HELD, Status.VIOLATED}


def test_both_forms_of_a_transfer_are_read() -> None:
    value: Mapping[str, Any] = {"from": "a", "to": "b", "amount": 3}
    done = op(1, "transfer", 0, 1, key="k", value=value)

    assert status("reads-explained", done, _total(2, 2, 3, 7, 13), initial=OPENED) is Status.HELD
    assert check_bank(History.of([done, _total(2, 2, 3, 7, 13)]), {}).status is Status.HELD


def test_what_an_earlier_test_broke_is_not_blamed_on_this_one() -> None:
    """A cluster for several tests: nodes go on telling what they decided long ago."""
    old = (said(1, "n1", 1, decided={"t": "commit"}), said(2, "n2", 2, decided={"t": "abort"}))
    again = said(3, "n1", 12, decided={"t": "commit"})

    assert status("ac1-agreement", *old, again, window_start_ns=10 * S) is Status.UNKNOWN
    assert status("ac1-agreement", *old, again, window_start_ns=0) is Status.VIOLATED
    assert status("ac1-agreement", old[0], said(3, "n2", 12, decided={"t": "abort"}), window_start_ns=10 * S) is Status.VIOLATED


@pytest.mark.parametrize("within_s", [0, -1, "5", True])
@pytest.mark.parametrize("name", ["ac5-termination", "locks-released"])
def test_a_time_limit_that_is_off_is_refused(name: str, within_s: object) -> None:
    validate = INVARIANTS[name].validate
    assert validate is not None
    with pytest.raises(UsageError, match="a number of seconds above 0"):
        validate({"within_s": within_s})
