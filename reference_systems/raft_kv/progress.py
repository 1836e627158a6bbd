"""What a leader knows of one follower. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from reference_systems.raft_kv.log import Snapshot

__all__ = ["Flight", "Progress"]


@dataclass(frozen=True, slots=True)
class Flight:
    """An append (or chunk) on its way: what it follows, and when it was sent."""

    prev: int
    sent: float


class Progress:
    """One follower, as its leader sees it."""

    __slots__ = ("flying", "heard", "match", "next", "offset", "retry_s", "round", "seq", "snapshot")

    def __init__(self, next_index: int, now: float, retry_s: float) -> None:
        self.next = next_index  # first entry to send
        self.match = 0  # its log equals ours up to here, durably
        self.seq = 0  # of the last append or chunk
        self.flying: dict[int, Flight] = {}  # by seq, the oldest first
        self.retry_s = retry_s
        self.heard = now
        self.round = 0  # last round it confirmed
        self.snapshot: Snapshot | None = None  # the one being sent
        self.offset = 0

    @property
    def oldest(self) -> Flight:
        """Of what is in flight."""
        return next(iter(self.flying.values()))

    def fly(self, prev: int, now: float) -> int:
        """Something is sent; returns its number."""
        self.seq += 1
        self.flying[self.seq] = Flight(prev, now)
        return self.seq

    def land(self, seq: int, retry_s: float) -> None:
        """It was answered, if it is in flight."""
        if self.flying.pop(seq, None) is not None:
            self.retry_s = retry_s

    def land_all(self, retry_s: float) -> None:
        """Nothing is in flight any more."""
        self.flying.clear()
        self.retry_s = retry_s

    def take_back(self, retry_s: float) -> None:
        """All that is in flight counts as lost: go on where the oldest began."""
        if self.flying:
            self.next = max(self.match, self.oldest.prev) + 1
        self.land_all(retry_s)
