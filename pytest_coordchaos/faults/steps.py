"""From an event of a plan to what is done to the cluster. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_coordchaos.faults.model import (
    Drift,
    DropReplies,
    Fault,
    FrameKind,
    FramesAll,
    FullDisk,
    Jump,
    Partition,
    Pause,
    Skew,
    SlowAll,
    SlowDisk,
)
from pytest_coordchaos.faults.plan import PlanEvent
from pytest_coordchaos.faults.shapes import isolate

__all__ = ["STEPS", "Kill", "LosePower", "Step"]


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL now, start again when the event ends. No `Fault`: it has no state of links."""

    node: str

    @property
    def words(self) -> str:
        """For people."""
        return f"kill {self.node}"


@dataclass(frozen=True, slots=True)
class LosePower:
    """SIGKILL now, what was not synced is lost, start again when the event ends. No `Fault`, as `Kill`."""

    node: str

    @property
    def words(self) -> str:
        """For people."""
        return f"power-loss {self.node}"


Step = Fault | Kill | LosePower
Steps = Callable[[PlanEvent, tuple[str, ...], tuple[str, ...]], list[Step]]


def _frames(kind: FrameKind) -> Steps:
    return lambda event, hit, nodes: [FramesAll(frozenset(nodes), kind, event.aim.rate or 0.0)]


STEPS: dict[str, Steps] = {
    "partition": lambda event, hit, nodes: [Partition(event.aim.groups)],
    "hold": lambda event, hit, nodes: [Partition(event.aim.groups, hold=True)],
    "isolate": lambda event, hit, nodes: [isolate(nodes, hit)],
    "pause": lambda event, hit, nodes: [Pause(node) for node in hit],
    "kill": lambda event, hit, nodes: [Kill(node) for node in hit],
    "power-loss": lambda event, hit, nodes: [LosePower(node) for node in hit],
    "slow": lambda event, hit, nodes: [SlowAll(frozenset(nodes), event.aim.one_way_ms or 0.0)],
    **{kind.value: _frames(kind) for kind in FrameKind},
    "drop-replies": lambda event, hit, nodes: [DropReplies(other, node) for node in hit for other in nodes if other != node],
    "skew": lambda event, hit, nodes: [Skew(node, event.aim.offset_s or 0.0) for node in hit],
    "jump": lambda event, hit, nodes: [Jump(node, event.aim.offset_s or 0.0) for node in hit],
    "drift": lambda event, hit, nodes: [Drift(node, event.aim.clock_rate or 1.0) for node in hit],
    "slow-disk": lambda event, hit, nodes: [SlowDisk(node, event.aim.sync_ms or 0.0) for node in hit],
    "full-disk": lambda event, hit, nodes: [FullDisk(node) for node in hit],
}
"""Verb -> the steps of its event, given the nodes it hits and all nodes."""
