"""Histories that other projects have judged: every verdict agrees, and every counterexample stands on its own."""

from __future__ import annotations

import pytest

from pytest_coordchaos.checkers.choosing import model_of
from pytest_coordchaos.checkers.counterexample import minimised
from pytest_coordchaos.checkers.linearizable import Budget, examine, objects_of
from pytest_coordchaos.cli import main
from pytest_coordchaos.cli_check import parse_model
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.history.readers import read_history
from pytest_coordchaos.verdicts import Status
from tests.oracle.oracle_sets import ROOT, Listed, listed

SETS = ("porcupine", "knossos")
BUDGET = Budget(configurations=300_000)
"""The hardest of them needs a twentieth of it."""


def read(one: Listed) -> History:
    """The history of a listed file."""
    return read_history(one.path, one.format)


@pytest.mark.parametrize("name", SETS)
def test_every_verdict_agrees(name: str) -> None:
    """All files of the set, within a fixed number of configurations."""
    wrong = []
    for one in listed(name):
        history = read(one)
        model = model_of(history, parse_model(one.model, one.format))
        assert model is not None
        found = examine(history, model, BUDGET).status
        if found is not {"linearizable": Status.HELD, "not-linearizable": Status.VIOLATED}[one.verdict]:
            wrong.append((one.path.name, one.verdict, found))
    assert wrong == []


@pytest.mark.parametrize("name", SETS)
def test_the_command_says_that_all_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`coordchaos check --manifest` ends with the line that scripts look for, and exits 0."""
    expected = len(listed(name))
    assert main(["check", "--manifest", str(ROOT / name / "MANIFEST.tsv")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"agree {expected}, disagree 0, unknown 0, unreadable 0"


@pytest.mark.parametrize("name", SETS)
def test_every_counterexample_is_small_and_a_violation_on_its_own(name: str) -> None:
    """The minimised sub-history of each bad file is not linearizable either, and much shorter than the file."""
    shortened = []
    for one in listed(name):
        if one.verdict == "linearizable":
            continue
        history = read(one)
        model = model_of(history, parse_model(one.model, one.format))
        assert model is not None
        finding = examine(history, model, BUDGET)
        operations = objects_of(history, model)[finding.key]
        if finding.contradiction:
            part = (*finding.contradiction.operations, *finding.contradiction.context)
        else:
            part = minimised(operations, finding.failed_by_ns, model)
        assert examine(part, model, BUDGET).status is Status.VIOLATED, one.path.name
        shortened.append(len(part) / len(operations))
    assert sorted(shortened)[len(shortened) // 2] < 0.5


def test_forgetting_reads_of_a_good_history_keeps_it_good() -> None:
    """Seeing less explains at least as much: no new violation."""
    for one in listed("knossos"):
        if one.verdict != "linearizable":
            continue
        history = read(one)
        model = model_of(history, parse_model(one.model, one.format))
        assert model is not None
        kept = [op for op in history if op.f != "read" or op.id % 3]
        assert examine(kept, model, BUDGET).status is Status.HELD, one.path.name


def test_etcd_logs_hold_what_makes_them_hard() -> None:
    """The traps are there: crashed operations, completed mismatches, reads of an absent key."""
    operations = [op for one in listed("porcupine") if one.format == "jepsen-log-text" for op in read(one)]
    assert any(op.outcome is Outcome.INFO and op.f == "cas" for op in operations)
    assert any(op.f == "cas" and op.result is False for op in operations)
    assert any(op.f == "read" and op.outcome is Outcome.OK and op.result is None for op in operations)
