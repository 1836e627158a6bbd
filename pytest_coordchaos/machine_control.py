"""Clocks and disks of a cluster's machines: always what the faults in force want them to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_coordchaos.errors import FaultError
from pytest_coordchaos.faults.checks import check_machine
from pytest_coordchaos.faults.machines import MachineProbe, MachineState, machine_state
from pytest_coordchaos.faults.model import Drift, Fault, Jump, MachineFault, Skew
from pytest_coordchaos.faults.resolve import describe
from pytest_coordchaos.runtimes.base import NodeState, Runtime
from pytest_coordchaos.system.model import System

__all__ = ["MachineControl"]


@dataclass(slots=True, eq=False)
class MachineControl:
    """The machines of one cluster.

    Args:
        faults: All that are in force; shared with the cluster.
    """

    system: System
    runtime: Runtime
    faults: list[Fault]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def check(self, fault: MachineFault) -> None:
        """CapabilityError: clock or disk of the system's nodes cannot be changed there."""
        need = "clocks" if isinstance(fault, Skew | Jump | Drift) else "disk-faults"
        check_machine(describe(fault), need, self.system, self.runtime)

    def check_power(self, node: str) -> None:
        """CapabilityError: what a node did not sync cannot be taken from it."""
        check_machine(f"power-loss {node}", "disk-faults", self.system, self.runtime)

    async def change(self, change: Callable[[Fault], None], fault: MachineFault) -> tuple[MachineProbe]:
        """Add or remove a fault; its machine is as it is to be, and was looked at, when this returns."""
        async with self._turn:
            change(fault)
            return (await self.runtime.set_machine(fault.node, machine_state(self.faults, fault.node)),)

    async def look_again(self, node: str, *, always: bool = False) -> None:
        """What could not be seen while the node was dead or stopped must be seen now.

        Args:
            always: Look also at a machine whose clock and disk no fault changes.

        Raises:
            FaultError: It is not seen.
        """
        wanted = machine_state(self.faults, node)
        if (wanted == MachineState() and not always) or self.runtime.state(node) is not NodeState.RUNNING:
            return
        probe = await self.runtime.set_machine(node, wanted)
        if not probe.ok and self.runtime.state(node) is NodeState.RUNNING:
            raise FaultError(f"{node} goes on without the faults of its machine: {probe.observed}")
