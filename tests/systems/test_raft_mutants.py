"""Mutants of the Raft store as real processes."""

from __future__ import annotations

import pytest

from pytest_coordchaos import Session, assert_caught
from reference_systems.raft_kv.mutants import MUTANTS

_MUTANT = {mutant.name: mutant for mutant in MUTANTS.mutants}


@pytest.mark.parametrize("name", ["R7", "R9", "R10"])
def test_mutants_are_caught_as_processes(session: Session, name: str) -> None:
    """Split brain, commits without a majority, commands done twice; the healthy store is accused of nothing."""
    assert_caught(MUTANTS, _MUTANT[name], on=session, seeds=4)
