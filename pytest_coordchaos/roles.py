"""Who holds a role: every live node is asked, and a tie or silence is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.errors import FaultError, UsageError
from pytest_coordchaos.system.model import RoleProbe, System
from pytest_coordchaos.system.readiness import NodeProbe, NoSuchPort

__all__ = ["role_holder", "wait_holder"]

_PROBE_S = 0.5
_ASK_AGAIN_S = 0.02


async def role_holder(system: System, role: str, probes: Sequence[NodeProbe]) -> str | None:
    """The one of these nodes that holds the role now; None when nobody, or more than one, claims it.

    Raises:
        UsageError: The System declares no such role, or its probe asks for a port that no node has.
    """
    ask = system.roles.get(role)
    if ask is None:
        known, how = ", ".join(system.roles) or "none", f"give System(roles={{{role!r}: probe}})"
        raise UsageError(f"System({system.name!r}) has no role {role!r}; it has: {known} ({how})")
    known_ports = frozenset(port.name for port in system.all_ports)
    ranks = await asyncio.gather(*(_claim(ask, probe, known_ports) for probe in probes))
    top = max(ranks, default=-1)
    holders = [probe.name for probe, rank in zip(probes, ranks, strict=True) if rank == top and top >= 0]
    return holders[0] if len(holders) == 1 else None


async def _claim(ask: RoleProbe, probe: NodeProbe, known_ports: frozenset[str]) -> int:
    """How high the node claims the role; -1: not at all, or it did not answer."""
    try:
        async with asyncio.timeout(_PROBE_S):
            answer = await ask(probe)
    except NoSuchPort as error:
        if error.port in known_ports:
            return -1  # the role is one of other nodes
        raise
    except (OSError, ValueError, TimeoutError, EOFError):
        return -1
    return -1 if answer is None or answer is False else int(answer)


async def wait_holder(
    name: str, ask: Callable[[], Awaitable[str | None]], nodes: Sequence[str], clock: Clock, timeout_s: float
) -> str:
    """Wait until exactly one node holds the role; FaultError when nobody did in time: no guess is made."""
    deadline_ns = clock.now_ns() + int(timeout_s * 1e9)
    while (holder := await ask()) is None:
        if clock.now_ns() >= deadline_ns:
            asked = ", ".join(nodes)
            raise FaultError(f"role {name!r} is unknown: no single node claimed it for {timeout_s:g} s (asked: {asked})")
        await clock.sleep(_ASK_AGAIN_S)
    return holder
