"""The window of the test that runs now."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_coordchaos.cluster import Cluster
from pytest_coordchaos.relay.wire import Mark
from pytest_coordchaos.run import Run, TestRequest

__all__ = ["OpenTest"]


@dataclass(slots=True)
class OpenTest:
    """What one test has done so far."""

    request: TestRequest
    start_ns: int
    marks: dict[Cluster, Mark] = field(default_factory=dict)
    used: dict[Cluster, None] = field(default_factory=dict)
    runs: list[tuple[Cluster, Run]] = field(default_factory=list)
    early: list[Run] = field(default_factory=list)
    sizes: set[int] = field(default_factory=set)
    drawn: int = 0

    def begun_ns(self, cluster: Cluster) -> int:
        """When it began on the cluster's own clock."""
        return self.marks.get(cluster, cluster.live.born).time_ns
