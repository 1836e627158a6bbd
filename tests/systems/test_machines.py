"""Clocks and disks of real processes behave as faults say, and prove it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from pytest_coordchaos import CapabilityError, Cluster, Session, System
from tests.systems.machine_rig import SYSTEM, Story, tell_real
from tests.systems.machine_stories import STORIES


@pytest.fixture(scope="module")
def machine(session: Session) -> Iterator[Cluster]:
    with session.start(SYSTEM) as cluster:
        yield cluster


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_on_processes(session: Session, machine: Cluster, story: Story) -> None:
    tell_real(session, machine, story)


def test_programs_that_are_not_ours_are_refused_by_name(session: Session) -> None:
    sleeps = System(name="sleeps", nodes=1, command=[sys.executable, "-S", "-c", "import time; time.sleep(100)"])
    with session.start(sleeps) as cluster:
        for refused in (
            lambda: cluster.skew("n1", offset_s=5),
            lambda: cluster.fill_disk("n1"),
            lambda: cluster.lose_power("n1"),
        ):
            with pytest.raises(CapabilityError, match=r"System\('sleeps'\) runs programs that ask this machine itself"):
                refused()
        with pytest.raises(CapabilityError, match="Fault word 'drift:one'"):
            cluster.run("any", faults=["drift:one"])
