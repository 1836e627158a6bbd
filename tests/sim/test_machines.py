"""Clocks and disks of simulated nodes behave as faults say, and prove it."""

from __future__ import annotations

import asyncio

import pytest

from pytest_coordchaos import Drift
from pytest_coordchaos.live_cluster import LiveCluster
from tests.systems.machine_rig import SYSTEM, Story, ask, tell_sim
from tests.systems.machine_stories import STORIES


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_in_the_simulation(story: Story) -> None:
    tell_sim(SYSTEM, story)


@pytest.mark.parametrize(("rate", "true_s"), [(2.0, 0.6), (0.5, 1.8)])
def test_a_timer_that_runs_already_follows_its_clock(rate: float, true_s: float) -> None:
    async def story(cluster: LiveCluster) -> None:
        begun_ns = cluster.clock.now_ns()
        sleeping = asyncio.ensure_future(ask(cluster, "sleep", 1.0))
        await cluster.clock.sleep(0.2)
        await cluster.apply(Drift("n1", rate))
        await sleeping
        assert (cluster.clock.now_ns() - begun_ns) / 1e9 == pytest.approx(true_s, abs=0.001)

    tell_sim(SYSTEM, story)
