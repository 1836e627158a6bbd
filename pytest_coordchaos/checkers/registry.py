"""The built-in invariants by name. Pure."""

from __future__ import annotations

from pytest_coordchaos.checkers.atomic_commit import ATOMIC_COMMIT
from pytest_coordchaos.checkers.bank import BANK
from pytest_coordchaos.checkers.carts import CART
from pytest_coordchaos.checkers.convergence import CONVERGED, METADATA_BOUNDED
from pytest_coordchaos.checkers.detector import DETECTION_TIME, DETECTOR_ACCURACY, DETECTOR_COMPLETENESS
from pytest_coordchaos.checkers.duplicates import NO_DUPLICATES
from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.lasting import LOCKS_RELEASED
from pytest_coordchaos.checkers.linearizability import LINEARIZABLE
from pytest_coordchaos.checkers.membership import MEMBERSHIP_AGREEMENT, NO_RESURRECTION
from pytest_coordchaos.checkers.rate_limit import RATE_LIMIT
from pytest_coordchaos.checkers.replicas import CAUGHT_UP, ELECTION_SAFETY, LEADER_SOON, REPLICAS_AGREE
from pytest_coordchaos.checkers.ring import LOOKUPS_AGREE, MINIMAL_KEY_MOVEMENT, RING_BALANCE

__all__ = ["INVARIANTS"]

_ALL = (
    LINEARIZABLE,
    ELECTION_SAFETY,
    REPLICAS_AGREE,
    CAUGHT_UP,
    LEADER_SOON,
    *ATOMIC_COMMIT,
    *BANK,
    NO_DUPLICATES,
    LOCKS_RELEASED,
    RATE_LIMIT,
    MEMBERSHIP_AGREEMENT,
    DETECTOR_COMPLETENESS,
    DETECTION_TIME,
    DETECTOR_ACCURACY,
    NO_RESURRECTION,
    RING_BALANCE,
    MINIMAL_KEY_MOVEMENT,
    LOOKUPS_AGREE,
    CONVERGED,
    METADATA_BOUNDED,
    CART,
)

INVARIANTS: dict[str, Invariant] = {invariant.name: invariant for invariant in _ALL}
"""Invariant name -> invariant."""
