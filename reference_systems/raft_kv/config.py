"""The knobs of a node, checked once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from reference_systems.kit.options import from_options

__all__ = ["Config"]

_MAY_BE_ZERO = ("snapshot_keep_entries", "pre_vote", "lease_ms", "lease_drift", "voters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `System(options=…)` can set. Times in milliseconds.

    Args:
        election_min_ms, election_max_ms: A follower that hears no leader for a time drawn from this
            range campaigns; a leader that hears no majority for `election_max_ms` steps down.
        first_election_min_ms, first_election_max_ms: The range for a node that has no term yet, so
            that a new cluster has a leader soon.
        heartbeat_ms: How often a leader speaks to each follower, load or not.
        batch_entries, batch_bytes: Most that one append carries (always at least one entry).
        chunk_bytes: Bytes of a snapshot in one frame.
        snapshot_every_entries: Applied entries between snapshots.
        snapshot_keep_entries: Entries kept before a snapshot, so that a slightly late follower needs none.
        max_sessions: Client sessions remembered; the least recently used one expires first.
        max_pending: Requests waiting at a leader; more are refused ("busy").
        max_value_bytes: Longest request body.
        pre_vote: 1: a candidate asks first whether it would be elected, and who hears a leader votes for nobody; 0: neither.
        lease_ms: A leader that a majority answered less than this ago answers reads without asking again; 0: it always asks.
            Safe while no two clocks' rates differ by more than `lease_drift`. Needs pre_vote.
        lease_drift: That share; lease_ms * (1 + lease_drift) must be below election_min_ms.
        pipeline: Appends on their way to one follower at a time.
        voters: So many of the first nodes vote from the start; the others learn until they are made voters. 0: all vote.
    """

    election_min_ms: float = 150.0
    election_max_ms: float = 300.0
    first_election_min_ms: float = 20.0
    first_election_max_ms: float = 200.0
    heartbeat_ms: float = 45.0
    batch_entries: int = 2048
    batch_bytes: int = 1024 * 1024
    chunk_bytes: int = 256 * 1024
    snapshot_every_entries: int = 2000
    snapshot_keep_entries: int = 200
    max_sessions: int = 1024
    max_pending: int = 8192
    max_value_bytes: int = 1024 * 1024
    pre_vote: int = 1
    lease_ms: float = 0
    lease_drift: float = 0.05
    pipeline: int = 1
    voters: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in _MAY_BE_ZERO else 1
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < lowest:
                raise ValueError(f"raft_kv option {field.name}={value!r} is not allowed: a number from {lowest}")
        for low, high in (("election_min_ms", "election_max_ms"), ("first_election_min_ms", "first_election_max_ms")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"raft_kv options: {low} is above {high}")
        if self.heartbeat_ms >= self.election_min_ms:
            raise ValueError("raft_kv options: heartbeat_ms must be below election_min_ms, or followers campaign all the time")
        if self.lease_ms and (not self.pre_vote or self.lease_ms * (1 + self.lease_drift) >= self.election_min_ms):
            raise ValueError(
                f"raft_kv options: lease_ms={self.lease_ms:g} is not allowed; pre_vote=1, and below election_min_ms / "
                f"(1 + lease_drift) = {self.election_min_ms / (1 + self.lease_drift):g}, or another may lead while a lease lasts"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Config:
        """From plain options.

        Raises:
            ValueError: An option that does not exist, or a value out of range.
        """
        return from_options(cls, "raft_kv", options)

    @property
    def election_s(self) -> tuple[float, float]:
        """Range of the election timeout in seconds."""
        return self.election_min_ms / 1000, self.election_max_ms / 1000

    @property
    def first_election_s(self) -> tuple[float, float]:
        """Range of the very first election timeout in seconds."""
        return self.first_election_min_ms / 1000, self.first_election_max_ms / 1000

    @property
    def lease_s(self) -> float:
        """Seconds of a lease; 0: there are none."""
        return self.lease_ms / 1000

    @property
    def heartbeat_s(self) -> float:
        """Seconds between heartbeats."""
        return self.heartbeat_ms / 1000
