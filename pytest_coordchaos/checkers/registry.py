"""The built-in invariants by name. Pure."""

from __future__ import annotations

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.linearizability import LINEARIZABLE
from pytest_coordchaos.checkers.replicas import CAUGHT_UP, ELECTION_SAFETY, LEADER_SOON, REPLICAS_AGREE

__all__ = ["INVARIANTS"]

INVARIANTS: dict[str, Invariant] = {
    invariant.name: invariant for invariant in (LINEARIZABLE, ELECTION_SAFETY, REPLICAS_AGREE, CAUGHT_UP, LEADER_SOON)
}
"""Invariant name -> invariant."""
