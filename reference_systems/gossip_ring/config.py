"""The knobs of a member, checked once. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from reference_systems.kit.options import from_options

__all__ = ["Config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `System(options=…)` can set. Times in milliseconds; a period is `period_ms`.

    Args:
        period_ms: Each member probes one other member per period.
        probe_timeout_ms: No acknowledgement for so long, and others are asked to probe too. Late ones count to the period's end.
        helpers: How many others are asked.
        suspicion_factor: A suspect is declared dead after this times log2(n + 1) periods without a refutation.
        retransmit_factor: An update rides on this times log2(n + 1) messages of each member that learned it.
        sync_periods: Every so many periods the whole view is exchanged with one living member.
        reconnect_periods: Every so many periods, as long as there are any, with one declared dead, and with an unknown seed.
        tombstone_periods: The dead are forgotten after so many.
        seeds: The first so many nodes of the System are asked by those who join.
        points: Virtual nodes of each member on the ring.
        hops: How often a lookup is handed on before it fails.
        events: Changes of the view that are remembered.
    """

    period_ms: float = 200.0
    probe_timeout_ms: float = 60.0
    helpers: int = 3
    suspicion_factor: float = 4.0
    retransmit_factor: float = 4.0
    sync_periods: int = 20
    reconnect_periods: int = 5
    tombstone_periods: int = 3000
    seeds: int = 3
    points: int = 128
    hops: int = 4
    events: int = 4096

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and value >= 1
            if not fits:
                wanted = "a whole number from 1" if whole else "a number from 1"
                raise ValueError(f"gossip_ring option {field.name}={value!r} is not allowed: {wanted}")
        if self.probe_timeout_ms >= self.period_ms:
            raise ValueError("gossip_ring options: probe_timeout_ms must be below period_ms, or nobody is ever asked to help")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Config:
        """From plain options.

        Raises:
            ValueError: An option that does not exist, or a value out of range.
        """
        return from_options(cls, "gossip_ring", options)

    @property
    def period_s(self) -> float:
        """Seconds of a period."""
        return self.period_ms / 1000

    @property
    def probe_timeout_s(self) -> float:
        """Seconds after which others are asked."""
        return self.probe_timeout_ms / 1000

    def suspicion_s(self, members: int) -> float:
        """How long a suspect has to refute, in a group of so many (Das et al. 2002, §4.2; log n as memberlist has it)."""
        return self.suspicion_factor * math.log2(members + 1) * self.period_s

    def retransmissions(self, members: int) -> int:
        """On how many messages of one member an update rides, in a group of so many (ibid. §4.1: λ log n)."""
        return math.ceil(self.retransmit_factor * math.log2(members + 1))

    def promises(self, members: int) -> dict[str, float]:
        """What the membership keeps in a group of so many, in seconds; invariants judge by it.

        A round-robin over a list that is shuffled after each turn comes back to a member within 2n − 3 periods, and the
        probe that meets a dead one takes one more. Nothing is said of what loss does to it.

        - `detection_s`: from a crash to the first suspicion;
        - `suspicion_s`: from a suspicion to the declaration, if nobody refutes it;
        - `declaration_s`: from a crash to its declaration by any one member, whomever else it can reach;
        - `spread_s`: from the first declaration to the last, of those who can reach each other.
        """
        detection_s = (2 * max(members, 2) - 2) * self.period_s
        suspicion_s = self.suspicion_s(members)
        return {
            "detection_s": detection_s,
            "suspicion_s": suspicion_s,
            "declaration_s": detection_s + self.period_s + suspicion_s,
            "spread_s": 1.25 * math.log2(members + 1) * self.period_s,
        }
