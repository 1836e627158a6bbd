"""Faults that begin at an event: in a simulation at the very instant of it, and the same one in every replay."""

from __future__ import annotations

import asyncio

import pytest

from pytest_coordchaos.faults.triggers import parse_trigger
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.run import InvariantRequest, TestRequest
from pytest_coordchaos.simulation.scenario import Scenario, SeedResult, perform
from pytest_coordchaos.simulation.world import World
from pytest_coordchaos.workloads.register import register
from reference_systems.raft_kv.system import system
from tests.systems.machine_rig import SYSTEM, ask

RAFT = system(nodes=3, election_min_ms=300, election_max_ms=600, heartbeat_ms=100)


pytestmark = pytest.mark.usefixtures("simulated")


def _story(world: World, story: object) -> None:
    async def whole() -> None:
        await story(await world.start())  # type: ignore[operator]  # a coroutine function

    try:
        world.run(whole(), limit_s=600)
    finally:
        world.close()


def test_the_kth_message_of_a_class_is_still_under_way_when_its_trigger_comes() -> None:
    async def story(cluster: LiveCluster) -> None:
        since = await cluster.relay.mark()
        assert await cluster.when(parse_trigger("heartbeat#5"), 5.0) is not None
        sent = [m for m in (await cluster.ledger(since)).messages if m.message_class == "heartbeat"]
        assert len(sent) in (5, 6), "the other follower's may leave at the same instant"
        assert sent[4].offered_ns == cluster.clock.now_ns()
        assert sent[4].delivered_ns is None

    _story(World(RAFT, 1), story)


def test_a_trigger_that_does_not_come_is_told_in_time() -> None:
    async def story(cluster: LiveCluster) -> None:
        begun_ns = cluster.clock.now_ns()
        assert await cluster.when(parse_trigger("n1>snapshot>#1"), 2.0) is None
        assert cluster.clock.now_ns() - begun_ns == 2_000_000_000

    _story(World(RAFT, 1), story)


def test_a_change_of_role_is_seen_when_another_node_leads() -> None:
    async def story(cluster: LiveCluster) -> None:
        leader = await cluster.wait_role("leader", 5)
        assert await cluster.when(parse_trigger("leader"), 1.0) is None
        await cluster.kill(leader)
        assert await cluster.when(parse_trigger("leader"), 5.0) is not None
        assert await cluster.role("leader") not in (None, leader)

    _story(World(RAFT, 1), story)


def test_power_that_is_lost_at_a_forced_write_may_take_what_was_to_be_forced() -> None:
    found = set()
    for seed in range(12):

        async def story(cluster: LiveCluster) -> None:
            await ask(cluster, "append", "written")
            syncing = asyncio.ensure_future(ask(cluster, "sync_log"))
            assert await cluster.when(parse_trigger("sync:n1#1"), 5.0) is not None
            power = await cluster.lose_power("n1")
            await power.undo()
            await asyncio.gather(syncing, return_exceptions=True)
            assert isinstance(syncing.exception(), OSError | EOFError)
            found.add((await ask(cluster, "files"))["log"])

        _story(World(SYSTEM, seed), story)
    assert "written" in found
    assert any(len(left) < len("written") for left in found)


def _seed(words: tuple[str, ...], seed: int) -> SeedResult:
    scenario = Scenario(
        system=RAFT,
        workload=register(clients=3, rate_per_s=15),
        faults=words,
        seconds=8.0,
        swarm=False,
        request=TestRequest(test="", seed=0, invariants=(InvariantRequest(name="linearizable"),)),
    )
    return perform(scenario, seed)[0]


def test_planned_events_replay_to_the_bit_and_hurt_nobody() -> None:
    words = ("kill:leader@append#2", "isolate:one@append#1", "power-loss:one@sync:n2#2")
    once = [_seed(words, seed) for seed in range(3)]
    again = [_seed(words, seed) for seed in range(3)]

    assert [one.trace_hash for one in once] == [one.trace_hash for one in again]
    assert {one.verdict for one in once} == {"held"}, [one.summary for one in once]
    assert [set(one.faults) for one in once] == [set(words)] * 3


def test_a_plan_whose_trigger_never_comes_leaves_the_verdict_unknown() -> None:
    result = _seed(("kill:one@n1>snapshot>#1",), 1)
    assert result.verdict == "unknown"
    assert "'n1>snapshot>#1' did not come within" in result.summary
