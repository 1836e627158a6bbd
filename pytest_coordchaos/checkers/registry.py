"""The built-in invariants by name. Pure."""

from __future__ import annotations

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.linearizability import LINEARIZABLE
from pytest_coordchaos.checkers.rate_limit import RATE_LIMIT
from pytest_coordchaos.checkers.replicas import CAUGHT_UP, ELECTION_SAFETY, LEADER_SOON, REPLICAS_AGREE

__all__ = ["INVARIANTS"]

_ALL = (
    LINEARIZABLE,
    ELECTION_SAFETY,
    REPLICAS_AGREE,
    CAUGHT_UP,
    LEADER_SOON,
    RATE_LIMIT,
)

INVARIANTS: dict[str, Invariant] = {invariant.name: invariant for invariant in _ALL}
"""Invariant name -> invariant."""
