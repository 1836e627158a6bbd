"""The built-in invariants by name. Pure."""

from __future__ import annotations

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.linearizability import LINEARIZABLE

__all__ = ["INVARIANTS"]

INVARIANTS: dict[str, Invariant] = {invariant.name: invariant for invariant in (LINEARIZABLE,)}
"""Invariant name -> invariant."""
