"""What the Raft store can do beside reads and writes, and what its options cost, in simulated worlds of exact delays."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_coordchaos.errors import Failed
from pytest_coordchaos.faults.model import Partition
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.workloads.driver import drive
from pytest_coordchaos.workloads.model import Call, Request
from reference_systems.raft_kv.client import RaftClient
from reference_systems.raft_kv.system import status, system
from reference_systems.raft_kv.workloads import register

Story = Callable[[World, LiveCluster], Awaitable[Any]]


pytestmark = pytest.mark.usefixtures("simulated")


def tell(story: Story, nodes: int = 5, **options: float) -> Any:
    """A story in a world of its own, with unit delays."""
    world = World(system(nodes, **options), 1, model=Model.unit())

    async def whole() -> Any:
        cluster = await world.start()
        await cluster.wait_healed(10)
        await world.clock.sleep(1)
        return await story(world, cluster)

    try:
        return world.run(whole())
    finally:
        world.close()


async def ask(cluster: LiveCluster, f: str, value: Any = None, key: str = "x", timeout_s: float = 3.0) -> Any:
    client = RaftClient(cluster, cluster.nodes[0])
    try:
        return await client.call(Call(id=0, request=Request(f=f, key=key, value=value), timeout_s=timeout_s))
    finally:
        client.close()


async def states(cluster: LiveCluster) -> dict[str, Any]:
    return {node: await status(cluster.probe(node)) for node in cluster.nodes}


@pytest.mark.parametrize(
    ("read_share", "options", "costs"),
    [
        (1.0, {}, (8, 2, 0)),
        (1.0, {"lease_ms": 140}, (0, 0, 0)),
        (0.0, {"lease_ms": 140}, (8, 2, 1)),
        (0.0, {"pipeline": 8, "batch_entries": 1}, (8, 2, 1)),
    ],
    ids=["ReadIndex", "lease read", "put with leases", "put with a pipeline"],
)
def test_what_an_operation_costs(read_share: float, options: dict[str, float], costs: tuple[int, int, int]) -> None:
    """Messages between five nodes, delays in sequence, forced writes in sequence: reads by lease cost nothing, and no option
    makes a put dearer."""

    async def story(world: World, cluster: LiveCluster) -> None:
        await ask(cluster, "put", 1)
        leader = await cluster.wait_role("leader", 10)
        since, before = await cluster.relay.mark(), len(cluster.recorder.all())
        await drive(
            register(operations=20, clients=1, read_share=read_share, cas_share=0.0, keys=1),
            cluster.system.client,
            cluster,
            cluster.recorder,
            rng=random.Random(1),
            clock=world.clock,
            seconds=100,
            nodes=[leader],
        )
        ledger = await cluster.ledger(since)
        operations = cluster.recorder.all().operations[before:][1:]
        between = [message for message in ledger.between(cluster.nodes).messages if message.operations]
        seen = {
            (
                sum(op.id in message.operations for message in between),
                ledger.paths[op.id].delays,
                ledger.paths[op.id].forced_writes,
            )
            for op in operations
        }
        assert seen == {costs}

    tell(story, **options)


@pytest.mark.parametrize(("pre_vote", "disturbed"), [(1, False), (0, True)])
def test_a_node_that_was_cut_off_disturbs_nobody_when_it_returns(pre_vote: int, disturbed: bool) -> None:
    """Thesis §9.6: without pre-vote it has counted terms alone, and the leader must yield to them."""

    async def story(world: World, cluster: LiveCluster) -> None:
        leader = await cluster.wait_role("leader", 10)
        before = (await states(cluster))[leader]["term"]
        alone = next(node for node in cluster.nodes if node != leader)
        cut = await cluster.apply(Partition((frozenset({alone}), frozenset(cluster.nodes) - {alone})))
        await world.clock.sleep(3)
        await cut.undo()
        await cluster.wait_healed(10)
        await world.clock.sleep(2)
        after = await states(cluster)
        assert (after[leader]["term"] > before) == disturbed
        assert {state["leader"] for state in after.values()} == {await cluster.role("leader")}

    tell(story, pre_vote=pre_vote)


def test_the_leader_hands_over_to_a_voter_and_to_nobody_else() -> None:
    """One term later the successor leads, at once: no election timeout passes (thesis §3.10)."""

    async def story(world: World, cluster: LiveCluster) -> None:
        leader = await cluster.wait_role("leader", 10)
        term = (await states(cluster))[leader]["term"]
        successor = next(node for node in cluster.nodes if node != leader)
        begun_ns = world.clock.now_ns()
        await ask(cluster, "transfer", successor)
        assert (world.clock.now_ns() - begun_ns) / 1e9 < 0.1
        state = (await states(cluster))[successor]
        assert (state["role"], state["term"]) == ("leader", term + 1)
        await ask(cluster, "put", 7)
        assert await ask(cluster, "get") == 7
        with pytest.raises(Failed, match="n9 is no voter"):
            await ask(cluster, "transfer", "n9")

    tell(story)


def test_voters_are_added_and_removed_one_at_a_time_and_a_removed_leader_leaves() -> None:
    """Nodes that do not vote learn all the same; two of the last three voters are enough."""

    async def story(world: World, cluster: LiveCluster) -> None:
        assert {tuple(state["voters"]) for state in (await states(cluster)).values()} == {("n1", "n2", "n3")}
        with pytest.raises(Failed, match="from n1, n2, n3 to n1, n4, n5 is more than one server"):
            await ask(cluster, "reconfigure", ["n1", "n4", "n5"])
        with pytest.raises(Failed, match="there is no node n9"):
            await ask(cluster, "reconfigure", ["n1", "n2", "n3", "n9"])
        await ask(cluster, "reconfigure", ["n1", "n2", "n3", "n4"])
        await ask(cluster, "reconfigure", ["n1", "n2", "n3", "n4", "n5"])
        first = await cluster.wait_role("leader", 10)
        rest = [node for node in cluster.nodes if node != first]
        await ask(cluster, "reconfigure", rest)
        second = await cluster.wait_role("leader", 10)
        assert second != first
        await ask(cluster, "reconfigure", rest[:-1])
        await ask(cluster, "put", 1)
        await cluster.kill(first)
        await cluster.kill(rest[-1])
        leader = await cluster.wait_role("leader", 10)
        await cluster.kill(next(node for node in rest[:-1] if node != leader))
        await ask(cluster, "put", 2)
        await cluster.heal()
        await cluster.wait_healed(10)
        await world.clock.sleep(1)
        assert {(tuple(state["voters"]), state["applied"]) for state in (await states(cluster)).values()} == {
            (tuple(rest[:-1]), (await status(cluster.probe(first)))["commit"])
        }

    tell(story, voters=3)
