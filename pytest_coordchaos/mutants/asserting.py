"""Mutants in an ordinary test."""

from __future__ import annotations

from pytest_coordchaos.mutants.model import Mutant, MutantSuite
from pytest_coordchaos.mutants.scoring import Score, score

__all__ = ["assert_caught"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


def assert_caught(suite: MutantSuite, mutant: Mutant, *, seeds: int | None = None, control: int = 1) -> Score:
    """The mutant is caught in the simulator, and the healthy system in its place is accused of nothing.

    Args:
        suite: Whose mutant it is.
        mutant: Which.
        seeds: At most so many; None: what the mutant says.
        control: Seeds of the healthy system, that which caught the mutant first.

    Raises:
        AssertionError: It was missed, or there was a false alarm.
        UsageError: It names something that does not exist.
    """
    (found,) = score([(suite, mutant)], seeds=seeds, control=control)
    if not found.caught:
        last = f"; {found.said}" if found.said else ""
        raise AssertionError(f"mutant {mutant.name} of {suite.name} was missed in {found.seeds} seeds: {mutant.doc}{last}")
    if found.alarm:
        raise AssertionError(f"false alarm: the healthy {suite.name} in place of mutant {mutant.name}: {found.alarm}")
    return found
