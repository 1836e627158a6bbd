"""Every mutant of every reference system is caught, in as many seeds as it says itself."""

from __future__ import annotations

import pytest

from pytest_coordchaos.mutants.finding import find, reference_suites
from pytest_coordchaos.mutants.scoring import score

_FEW = 10
"""Suites of so many mutants are tried with their controls; the others' own tests do that for some of theirs."""


@pytest.mark.parametrize("system", reference_suites())
def test_every_mutant_is_caught(system: str) -> None:
    """`coordchaos mutants` does the same, and runs the healthy system in each mutant's place."""
    cases = find([system])

    scores = score(cases, control=1 if len(cases) <= _FEW else 0)

    assert [(one.mutant, one.said) for one in scores if not one.caught] == []
    assert [(one.mutant, one.alarm) for one in scores if one.alarm] == []
