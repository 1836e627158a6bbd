"""Schedules that show what a drawn plan seldom does: verbs in an order, beside the load. For `mutants.py`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from pytest_coordchaos import (
    CLIENTS,
    Call,
    DropReplies,
    Duplicate,
    Failed,
    Jump,
    Lose,
    Partition,
    Pause,
    Reorder,
    Request,
    Slow,
    SlowDisk,
)
from reference_systems.raft_kv.client import RaftClient
from reference_systems.raft_kv.system import status

__all__ = [
    "figure_8",
    "hasty_leader",
    "leader_in_the_past",
    "lost_answers",
    "one_vote_twice",
    "other_voters",
    "power_cut",
    "reboot",
    "reordered_twins",
    "returning_leader",
    "sleeping_leader",
    "slow_elections",
    "two_candidates",
]

_POLL_S = 0.002
_PATIENCE_S = 3.0


async def reboot(cluster: Any, rng: random.Random) -> None:
    """All nodes are killed at once and start again, six times."""
    for _ in range(6):
        await asyncio.sleep(rng.uniform(0.5, 0.9))
        killed = await asyncio.gather(*(cluster.kill(node) for node in cluster.nodes))
        await asyncio.gather(*(handle.undo() for handle in killed))


async def lost_answers(cluster: Any, rng: random.Random) -> None:
    """The leader does what clients ask, but its answers are lost; four times."""
    for _ in range(4):
        await asyncio.sleep(rng.uniform(0.3, 0.6))
        deaf = await cluster.apply(DropReplies(CLIENTS, await cluster.wait_role("leader", _PATIENCE_S)))
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        await deaf.undo()


async def returning_leader(cluster: Any, rng: random.Random) -> None:
    """The leader is cut off while another is elected, and comes back."""
    await asyncio.sleep(rng.uniform(0.3, 0.5))
    old = await cluster.wait_role("leader", _PATIENCE_S)
    cut = await cluster.apply(_apart({old}, set(cluster.nodes) - {old}))
    await asyncio.sleep(rng.uniform(0.5, 1.5))
    await cut.undo()


async def hasty_leader(cluster: Any, rng: random.Random) -> None:
    """A new leader's entries reach nobody for a while, so that it does not learn what is committed; three times."""
    for _ in range(3):
        await asyncio.sleep(rng.uniform(0.3, 0.6))
        old = await cluster.wait_role("leader", _PATIENCE_S)
        pairs = [(a, b) for a in cluster.nodes for b in cluster.nodes if a != b and a != old]
        lost = [await cluster.apply(Lose(a, b, 1.0, frozenset({"append"}))) for a, b in pairs]
        dead = await cluster.kill(old)
        await asyncio.sleep(rng.uniform(0.5, 0.8))
        for handle in (*lost, dead):
            await handle.undo()


async def slow_elections(cluster: Any, rng: random.Random) -> None:
    """Messages take long, but far less than an election timeout; the leader is killed."""
    await asyncio.sleep(rng.uniform(0.2, 0.4))
    for source in cluster.nodes:
        for target in cluster.nodes:
            if source != target:
                await cluster.apply(Slow(source, target, 30.0))
    await asyncio.sleep(rng.uniform(0.2, 0.4))
    await cluster.kill(await cluster.wait_role("leader", _PATIENCE_S))
    await asyncio.sleep(4.0)


async def sleeping_leader(cluster: Any, rng: random.Random) -> None:
    """On slow links the leader's process is stopped, and hears nobody when it goes on; three times."""
    for source in cluster.nodes:
        for target in cluster.nodes:
            if source != target:
                await cluster.apply(Slow(source, target, 15.0))
    for _ in range(3):
        await asyncio.sleep(rng.uniform(0.5, 0.8))
        leader = await cluster.wait_role("leader", _PATIENCE_S)
        asleep = await cluster.apply(Pause(leader))
        await asyncio.sleep(0.06)  # what it asked before has been answered
        deaf = [await cluster.apply(Lose(node, leader, 1.0)) for node in cluster.nodes if node != leader]
        await asyncio.sleep(rng.uniform(0.8, 1.2))
        await asleep.undo()
        await asyncio.sleep(0.3)
        for handle in deaf:
            await handle.undo()


async def leader_in_the_past(cluster: Any, rng: random.Random) -> None:
    """The leader's wall clock jumps back while it is cut off; twice."""
    for _ in range(2):
        await asyncio.sleep(rng.uniform(0.4, 0.6))
        leader = await cluster.wait_role("leader", _PATIENCE_S)
        alone = await cluster.apply(_apart({leader}, set(cluster.nodes) - {leader}))
        await cluster.apply(Jump(leader, -rng.uniform(5.0, 50.0)))
        await asyncio.sleep(1.2)
        await alone.undo()


async def power_cut(cluster: Any, rng: random.Random) -> None:
    """All disks are slow, and all machines lose power at once; twice."""
    for node in cluster.nodes:
        await cluster.apply(SlowDisk(node, 40.0))
    for _ in range(2):
        await asyncio.sleep(rng.uniform(0.8, 1.2))
        dark = await asyncio.gather(*(cluster.lose_power(node) for node in cluster.nodes))
        await asyncio.gather(*(handle.undo() for handle in dark))


async def other_voters(cluster: Any, rng: random.Random) -> None:
    """The leader shall vote with two new nodes, while the old voters are cut off from all of them. For five nodes of which
    the first three vote."""
    await asyncio.sleep(rng.uniform(0.3, 0.6))
    leader = await cluster.wait_role("leader", _PATIENCE_S)
    wanted = [leader, *cluster.nodes[3:]]
    await cluster.apply(_apart(set(wanted), set(cluster.nodes) - set(wanted)))
    admin = RaftClient(cluster, leader)
    try:
        await admin.call(Call(id=0, request=Request(f="reconfigure", value=wanted), timeout_s=0.2))
    except (Failed, TimeoutError):
        pass  # as it should be: it is more than one server
    admin.close()
    await asyncio.sleep(1.5)


async def reordered_twins(cluster: Any, rng: random.Random) -> None:
    """Messages come twice and change places, so that old ones come after newer ones; then the leader dies. Three times."""
    pairs = [(a, b) for a in cluster.nodes for b in cluster.nodes if a != b]
    for _ in range(3):
        await asyncio.sleep(rng.uniform(0.2, 0.4))
        faults = [kind(a, b, 0.3, frozenset({"append"})) for a, b in pairs for kind in (Duplicate, Reorder)]
        shuffled = [await cluster.apply(fault) for fault in faults]
        await asyncio.sleep(rng.uniform(0.1, 0.3))
        dead = await cluster.kill(await cluster.wait_role("leader", _PATIENCE_S))
        for handle in shuffled:
            await handle.undo()
        await asyncio.sleep(0.5)
        await dead.undo()


async def two_candidates(cluster: Any, rng: random.Random) -> None:
    """Two candidates of one term that do not hear each other ask the third. For three nodes whose timeouts are fixed."""
    await asyncio.sleep(rng.uniform(0.2, 0.4))
    voter = await cluster.wait_role("leader", _PATIENCE_S)
    candidates = [node for node in cluster.nodes if node != voter]
    await cluster.apply(_apart(*({node} for node in candidates)))
    lost = [await cluster.apply(Lose(node, voter, 1.0, frozenset({"append"}))) for node in candidates]
    dead = await cluster.kill(voter)
    await dead.undo()
    await asyncio.sleep(1.0)
    for handle in lost:  # from now on each tells the voter what it has
        await handle.undo()
    await asyncio.sleep(1.0)


async def one_vote_twice(cluster: Any, rng: random.Random) -> None:
    """Two candidates of one term, each cut off from the other; the voter of one is killed, and asked by the other.

    For three nodes whose election timeouts are fixed and long.
    """
    voter = await cluster.wait_role("leader", _PATIENCE_S)
    first, second = (node for node in cluster.nodes if node != voter)
    await cluster.apply(_apart({first}, {second}))
    alone = await cluster.apply(_apart({second}, {voter}))
    for target in (voter, second):  # a leader whose entries reach nobody leaves its voter's log as it was
        await cluster.apply(Lose(first, target, 1.0, frozenset({"append"})))
    dead = await cluster.kill(voter)
    await _until(lambda: _is(cluster, first, "candidate"), 2 * _PATIENCE_S)
    await dead.undo()
    await _until(lambda: _is(cluster, first, "leader"), 2 * _PATIENCE_S)
    dead = await cluster.kill(voter)
    await alone.undo()
    await dead.undo()
    await asyncio.sleep(0.5)


async def figure_8(cluster: Any, rng: random.Random) -> None:
    """Figure 8 of the Raft paper: an entry of an earlier term reaches a majority and is overwritten. For five nodes and
    appends of one entry."""
    await asyncio.sleep(rng.uniform(0.2, 0.4))
    s1 = await cluster.wait_role("leader", _PATIENCE_S)
    s2, *others = (node for node in cluster.nodes if node != s1)
    split = await cluster.apply(_apart({s1, s2}, set(others)))
    length = (await status(cluster.probe(others[0])))["last_index"]
    for source in others:  # their leader's entries reach nobody
        for target in cluster.nodes:
            if source != target:
                await cluster.apply(Lose(source, target, 1.0, frozenset({"append"})))
    await asyncio.sleep(rng.uniform(0.06, 0.12))  # (a) s1 replicates to s2 alone
    dead_s1, dead_s2 = await cluster.kill(s1), await cluster.kill(s2)
    s5 = await cluster.wait_role("leader", _PATIENCE_S)  # (b)
    await asyncio.sleep(0.05)
    dead_s5 = await cluster.kill(s5)
    slow = [await cluster.apply(Slow(a, b, 20.0)) for a in cluster.nodes for b in cluster.nodes if a != b]
    await split.undo()
    await asyncio.gather(dead_s1.undo(), dead_s2.undo())
    winner = await cluster.wait_role("leader", _PATIENCE_S)  # (c)
    voters = [node for node in others if node != s5]
    await _until(lambda: _longer(cluster, voters, length), _PATIENCE_S)
    for voter in voters:  # the entry of the winner's own term stays with it
        await cluster.apply(Lose(winner, voter, 1.0, frozenset({"append"})))
    await asyncio.sleep(0.6)
    gone = [await cluster.kill(s1), await cluster.kill(s2)]
    for handle in slow:
        await handle.undo()
    await dead_s5.undo()
    await cluster.wait_role("leader", _PATIENCE_S)  # (d)
    for handle in gone:
        await handle.undo()
    await cluster.heal()


def _apart(*groups: set[str]) -> Partition:
    return Partition(tuple(frozenset(group) for group in groups))


async def _is(cluster: Any, node: str, role: str) -> bool:
    return bool((await status(cluster.probe(node)))["role"] == role)


async def _longer(cluster: Any, nodes: list[str], length: int) -> bool:
    return any([(await status(cluster.probe(node)))["last_index"] > length for node in nodes])


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Poll; a condition that never comes true ends the schedule, which then shows nothing."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what other processes do sets no event of ours
            await asyncio.sleep(_POLL_S)
