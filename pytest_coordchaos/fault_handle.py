"""What a cluster gives back for a fault it has put in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.faults.machines import MachineProbe
from pytest_coordchaos.relay.wire import ProbeResult

__all__ = ["FaultHandle", "Probe", "Undo"]

Probe = ProbeResult | MachineProbe
"""What one look at a link, or at a machine, saw."""

Undo = Callable[[], Awaitable[None]]
"""Takes a fault back."""


@dataclass(slots=True, eq=False)
class FaultHandle:
    """A fault in force. Undo it in any order relative to others; undoing twice does nothing more.

    Attributes:
        words: The fault, for people.
        start_ns, end_ns: When it was in force; end_ns None while it is.
        probes: What the probes saw when it was applied.
    """

    words: str
    start_ns: int
    undo_fault: Undo
    probes: tuple[Probe, ...] = ()
    end_ns: int | None = None
    clock: Clock | None = None

    @property
    def verified(self) -> bool:
        """Every probe saw what it expected."""
        return all(probe.ok for probe in self.probes)

    async def undo(self) -> None:
        """Take the fault back. Idempotent."""
        if self.end_ns is not None:
            return
        assert self.clock is not None
        self.end_ns = self.clock.now_ns()
        await self.undo_fault()
