"""Orders to nodes of ours about their clocks and disks, and what they say they see. For runtimes with real processes.

A node follows `machine.json` in its directory (see `reference_systems.kit.machine`), and answers in `machine.seen.json`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_coordchaos.errors import FaultError
from pytest_coordchaos.faults.machines import MachineProbe, MachineState, judged
from pytest_coordchaos.runtimes.base import NodeState

__all__ = ["MachineOrders"]

_ORDERS, _SEEN = "machine.json", "machine.seen.json"
_ANSWER_S, _LOOK_S = 5.0, 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What was last ordered of a node.

    Args:
        number: How many orders there were.
        state: What its machine is to be.
        slip_s: What its wall clock had drifted when this was ordered.
        since_s: When, in seconds since 1970.
        power_losses: How often it lost power so far.
    """

    number: int = 0
    state: MachineState = field(default_factory=MachineState)
    slip_s: float = 0.0
    since_s: float = 0.0
    power_losses: int = 0

    def drifted_s(self, at_s: float) -> float:
        """How far its wall clock has drifted by then."""
        return self.slip_s + (at_s - self.since_s) * (self.state.rate - 1.0)

    def next(self, state: MachineState, now_s: float, *, losses: int = 0) -> _Order:
        """The next order, after so many more losses of power. A clock that drifts no more is set right."""
        slip_s = self.drifted_s(now_s) if state.rate != 1.0 and self.number else 0.0
        number, losses = self.number + 1, self.power_losses + losses
        return _Order(number=number, state=state, slip_s=slip_s, since_s=now_s, power_losses=losses)

    def as_json(self) -> str:
        """What the node reads."""
        state = self.state
        return json.dumps(
            {
                "number": self.number,
                "rate": state.rate,
                "offset_s": state.offset_s,
                "slip_s": self.slip_s,
                "since_s": self.since_s,
                "sync_ms": state.sync_ms,
                "full": state.full,
                "power_losses": self.power_losses,
            }
        )


class MachineOrders:
    """The orders of one cluster.

    Args:
        put: Writes a file of a node: (node, file name, text).
        get: Reads one; None while there is none.
        announce: Tells a node that there is something new; FaultError: it is dead.
        state: What a node is doing.
    """

    def __init__(
        self,
        put: Callable[[str, str, str], Awaitable[None]],
        get: Callable[[str, str], Awaitable[str | None]],
        announce: Callable[[str], Awaitable[None]],
        state: Callable[[str], NodeState],
    ) -> None:
        self._put = put
        self._get = get
        self._announce = announce
        self._state = state
        self._orders: dict[str, _Order] = {}

    async def set(self, node: str, state: MachineState) -> MachineProbe:
        """Order it, and return what the node says it sees."""
        order = self._orders[node] = self._orders.get(node, _Order()).next(state, time.time())
        await self._put(node, _ORDERS, order.as_json())
        if self._state(node) is NodeState.RUNNING:
            try:
                await self._announce(node)
            except FaultError:
                pass  # it has died meanwhile
            else:
                return await self._answer(node, order)
        return MachineProbe(ok=True, observed=f"{node} is {self._state(node)}, and is looked at when it goes on")

    async def lost_power(self, node: str) -> None:
        """A node that is dead is to find at its next start what it had synced, and a part of the rest."""
        before = self._orders.get(node, _Order())
        self._orders[node] = before.next(before.state, time.time(), losses=1)
        await self._put(node, _ORDERS, self._orders[node].as_json())

    async def _answer(self, node: str, order: _Order) -> MachineProbe:
        deadline = asyncio.get_running_loop().time() + _ANSWER_S
        while asyncio.get_running_loop().time() < deadline and self._state(node) is NodeState.RUNNING:
            said = _read(await self._get(node, _SEEN))
            if said.get("number") == order.number:
                return _judge(node, order, said)
            await asyncio.sleep(_LOOK_S)
        return MachineProbe(ok=False, observed=f"{node} did not say within {_ANSWER_S:g} s what it sees of its machine")


def _read(text: str | None) -> dict[str, Any]:
    """What a node said; nothing, if only a part of it came: an engine that copies a replaced file keeps to the old one's size."""
    try:
        said: dict[str, Any] = json.loads(text or "{}")
    except ValueError:
        return {}
    return said


def _judge(node: str, order: _Order, said: dict[str, Any]) -> MachineProbe:
    if said["lost"] != order.power_losses:
        return MachineProbe(ok=False, observed=f"{node} still has what it had not synced when it lost power")
    (true_1, own_1, _, _), (true_2, own_2, wall_s, own_wall_s) = said["readings"]
    return judged(
        node,
        order.state,
        ahead_s=own_wall_s - wall_s - order.drifted_s(wall_s),
        rate=(own_2 - own_1) / (true_2 - true_1),
        sync_ms=said["sync_ms"],
        full=said["full"],
    )
