"""Replicated data types that merge: counters, sets, registers, maps. Standard library only.

Every value is immutable. A mutator returns a *delta*, a small value of the same type: merge it into the
own state, and send it to others, who merge it too. Merging is commutative, associative, idempotent and
inflationary, so that messages may be lost, doubled and reordered as long as each delta arrives once, or
a whole state does (Shapiro et al. 2011; Almeida, Shoker, Baquero 2015).

A delta that replaces or removes (sets that observe, registers, maps) must arrive after what it was made
from: send intervals of deltas without a gap, or a whole state.
"""

from reference_systems.crdt.context import Context, Dot
from reference_systems.crdt.counters import GCounter, PNCounter
from reference_systems.crdt.maps import CounterMap, ORMap
from reference_systems.crdt.registers import LWWRegister, MVRegister
from reference_systems.crdt.sets import GSet, ORSet, TwoPhaseSet

__all__ = [
    "Context",
    "CounterMap",
    "Dot",
    "GCounter",
    "GSet",
    "LWWRegister",
    "MVRegister",
    "ORMap",
    "ORSet",
    "PNCounter",
    "TwoPhaseSet",
]
