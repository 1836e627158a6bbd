"""Waiting for an event of a running cluster, and holding what set it off."""

from __future__ import annotations

from typing import Protocol

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.faults.checks import check_event
from pytest_coordchaos.faults.triggers import RoleTrigger, Trigger
from pytest_coordchaos.relay.link_control import Hold, LinkControl, NothingHeld
from pytest_coordchaos.runtimes.base import Runtime
from pytest_coordchaos.system.model import System

__all__ = ["wait_event"]

_ASK_AGAIN_S = 0.02


class Watched(Protocol):
    """A cluster, as far as its events go."""

    @property
    def system(self) -> System:
        """What runs."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Where."""
        ...

    @property
    def relay(self) -> LinkControl:
        """What carries its links."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    async def role(self, name: str) -> str | None:
        """Who holds a role."""
        ...


async def wait_event(cluster: Watched, trigger: Trigger, timeout_s: float) -> Hold | None:
    """Wait for a trigger; what set it off is held until it is released, where it is a message.

    Returns:
        The hold; None: it did not come in time.

    Raises:
        UsageError: The trigger names what the system does not have.
        CapabilityError: The runtime cannot tell when it comes.
    """
    check_event(trigger, cluster.system, cluster.runtime)
    if isinstance(trigger, RoleTrigger):
        return NothingHeld() if await _role_changed(cluster, trigger.role, timeout_s) else None
    return await cluster.relay.hold_at(trigger, timeout_s)


async def _role_changed(cluster: Watched, role: str, timeout_s: float) -> bool:
    """Somebody else than at first holds the role; also the first one to be known, where nobody was."""
    deadline_ns = cluster.clock.now_ns() + int(timeout_s * 1e9)
    before = await cluster.role(role)
    while cluster.clock.now_ns() < deadline_ns:
        await cluster.clock.sleep(_ASK_AGAIN_S)
        holder = await cluster.role(role)
        if holder is not None and holder != before:
            return True
    return False
