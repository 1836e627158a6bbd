"""Clocks and disks of simulated nodes behave as faults say, and prove it."""

from __future__ import annotations

import pytest

from tests.systems.machine_rig import SYSTEM, Story, tell_sim
from tests.systems.machine_stories import STORIES


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_in_the_simulation(story: Story) -> None:
    tell_sim(SYSTEM, story)
