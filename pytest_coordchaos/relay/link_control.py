"""What a cluster asks of whatever carries its links, so that it need not know who applies their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pytest_coordchaos.cost.ledger import Ledger, LinkId
from pytest_coordchaos.faults.model import DirectionState
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger
from pytest_coordchaos.relay.wire import Address, LinkCounts, LinkSpec, Mark, ProbeResult

__all__ = ["Hold", "LinkControl", "NothingHeld"]


class Hold(Protocol):
    """What set off a trigger, held until a fault is in force."""

    async def release(self) -> None:
        """Let it go on. Idempotent."""
        ...


class NothingHeld:
    """A hold of what needs none."""

    async def release(self) -> None:
        """Nothing to let go."""


class LinkControl(Protocol):
    """The links of one cluster: the relay alone, or the relay with Toxiproxy behind it."""

    @property
    def proxy(self) -> str:
        """Who applies cuts and delays: "relay" or "toxiproxy"."""
        ...

    async def add_links(self, specs: Iterable[LinkSpec]) -> dict[LinkId, Address]:
        """Make links; all listen when this returns, or none was made."""
        ...

    async def apply(self, states: Mapping[LinkId, tuple[DirectionState, DirectionState]]) -> tuple[ProbeResult, ...]:
        """Put (upstream, downstream) states in force on the links given; they are in force and probed when this returns."""
        ...

    async def reset_node(self, node: str) -> int:
        """Reset the node's end of every connection to it, just before it is killed; returns how many there were."""
        ...

    async def hold_at(self, trigger: MessageTrigger | SyncTrigger, timeout_s: float) -> Hold | None:
        """Wait for a message or a forced write, and hold the message; None: it did not come in time."""
        ...

    async def node_is_back(self, node: str) -> None:
        """A node that was killed accepts connections again."""
        ...

    async def watch(self, node: str, pid: int, host: str, ours: Iterable[str]) -> None:
        """A node lives (again) in a network namespace of its own, whose table of sockets is to be looked at."""
        ...

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        ...

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links between two marks, or until now."""
        ...

    async def live(self) -> dict[LinkId, LinkCounts]:
        """Counts of each link since it was made."""
        ...

    async def close(self) -> None:
        """Let go of the links. Idempotent."""
        ...

    def notes(self, since_ns: int) -> tuple[str, ...]:
        """What a reader of a report on a window that begins then (CLOCK_MONOTONIC) should know."""
        ...
