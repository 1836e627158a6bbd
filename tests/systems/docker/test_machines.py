"""Clocks and disks of our nodes in containers behave as faults say, and prove it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_coordchaos import Cluster, Session
from tests.systems.machine_rig import SYSTEM, Story, tell_real
from tests.systems.machine_stories import STORIES


@pytest.fixture(scope="module")
def machine(containers: Session) -> Iterator[Cluster]:
    with containers.start(SYSTEM) as cluster:
        yield cluster


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_in_containers(containers: Session, machine: Cluster, story: Story) -> None:
    tell_real(containers, machine, story)
