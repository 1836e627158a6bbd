"""Whole worlds: the Raft store simulated, what its operations cost exactly, and that a seed is one run."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from pytest_coordchaos.cost.critical_path import CriticalPath
from pytest_coordchaos.faults.model import Partition, Pause
from pytest_coordchaos.faults.plan import draw
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.simulation.scenario import Progress, Scenario, perform, perform_one
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.system.liveness import Live
from pytest_coordchaos.workloads.driver import drive
from pytest_coordchaos.workloads.register import register
from reference_systems.raft_kv.system import status, system

FIVE = system(nodes=5, election_min_ms=300, election_max_ms=600, heartbeat_ms=100)
FAULTS = ("partition:halves", "partition:majorities-ring", "kill:leader", "kill:one", "pause:one", "slow:20")


pytestmark = pytest.mark.usefixtures("simulated")


async def _load(world: World, cluster: LiveCluster, *, operations: int, read_share: float) -> None:
    await drive(
        register(operations=operations, clients=1, read_share=read_share, cas_share=0.0, keys=1),
        FIVE.client,
        cluster,
        cluster.recorder,
        rng=random.Random(1),
        clock=world.clock,
        seconds=100,
        nodes=[await cluster.wait_role("leader", 10)],
    )


def _paths(read_share: float) -> tuple[list[CriticalPath], list[float]]:
    """Critical paths and latencies in units, without the operations that wait for what the first one set up."""
    world = World(FIVE, 1, model=Model.unit())

    async def story() -> list[CriticalPath]:
        cluster = await world.start()
        await world.clock.sleep(2)
        since = await cluster.relay.mark()
        await _load(world, cluster, operations=40, read_share=read_share)
        paths = (await cluster.ledger(since)).paths
        return [paths[op.id] for op in cluster.recorder.all()]

    paths = world.run(story())
    latencies = [(op.return_ns - op.invoke_ns) / 1e6 for op in world.recorder.all()]
    world.close()
    return paths[1:], latencies[1:]


def test_a_put_takes_two_delays_and_a_forced_write_and_so_says_its_latency() -> None:
    """Client links and disks are free, node links take one unit: latency in units is the number of sequential delays."""
    paths, latencies = _paths(read_share=0.0)

    assert Counter(path.delays for path in paths) == {2: 39}
    assert Counter(path.forced_writes for path in paths) == {1: 39}
    assert set(latencies) == {2.0}
    assert " > ".join(step.name for step in paths[0].steps) == "request > append > sync > append_ok > response"


def test_a_read_takes_two_delays_and_writes_nothing() -> None:
    paths, latencies = _paths(read_share=1.0)

    assert {(path.delays, path.forced_writes) for path in paths} == {(2, 0)}
    assert set(latencies) == {2.0}


def test_a_seed_is_one_run_and_another_seed_another() -> None:
    scenario = Scenario(system=FIVE, workload=register(rate_per_s=20), faults=FAULTS, seconds=6, swarm=False)
    first, run, trace = perform(scenario, 11, keep_trace=True)
    waste = [bytearray(size % 700) for size in range(20_000)]
    again, _, other = perform(scenario, 11, keep_trace=True)
    another, _, _ = perform(scenario, 12)

    assert first.trace_hash == again.trace_hash != another.trace_hash
    assert trace == other
    assert waste
    assert run is not None
    assert first.verdict == "held", first.summary
    assert sum(first.faults.values()) >= 5


def test_seeds_with_faults_hold_and_the_quorum_left_alone_goes_on() -> None:
    scenario = Scenario(
        system=FIVE,
        workload=register(rate_per_s=20),
        faults=FAULTS,
        swarm=False,
        seconds=8,
        progress=Progress(within_s=10.0),
    )
    results = [perform(scenario, seed)[0] for seed in range(100, 104)]

    assert {result.verdict for result in results} == {"held"}, [r.summary for r in results if r.summary]
    assert all(result.partitions for result in results)


def test_a_quorum_that_is_none_is_caught_making_no_progress() -> None:
    scenario = Scenario(
        system=FIVE,
        workload=register(rate_per_s=20),
        seconds=2,
        progress=Progress(within_s=5.0, nodes=("n1", "n2")),
    )
    result, _, _ = perform(scenario, 1)

    assert result.verdict == "violated"
    assert result.summary.startswith("progress exceeded: nothing succeeded for 5 s (nodes n1, n2 alone")


def test_the_system_says_who_must_go_on() -> None:
    """A store that claimed that any single node is enough would be caught."""
    scenario = Scenario(
        system=replace(FIVE, live=Live(nodes="any")), workload=register(rate_per_s=20), seconds=2, progress=Progress(within_s=3.0)
    )
    result, _, _ = perform(scenario, 1)

    assert result.verdict == "violated"
    assert re.match(r"progress exceeded: nothing succeeded for 3 s \(nodes n\d alone, (n\d(, )?){4} cut off", result.summary)


def test_kill_pause_restart_and_logs_of_a_simulated_node() -> None:
    world = World(FIVE, 3)

    async def story() -> None:
        cluster = await world.start()
        await _load(world, cluster, operations=20, read_share=0.0)
        before = await status(cluster.probe("n2"))
        kill = await cluster.kill("n2")
        assert cluster.state("n2") is NodeState.DEAD
        assert world.runtime.exit_status("n2") == -9
        await world.clock.sleep(1)
        await kill.undo()
        assert cluster.state("n2") is NodeState.RUNNING
        assert "n2 is started again (start 2)" in world.runtime.log("n2")
        await cluster.wait_healed(10)
        assert (await status(cluster.probe("n2")))["last_index"] >= before["commit"]
        pause = await cluster.apply(Pause("n3"))
        with pytest.raises(TimeoutError):
            await status(cluster.probe("n3"))
        await pause.undo()
        await cluster.wait_healed(10)

    world.run(story(), limit_s=200)
    world.close()


def test_a_node_that_raises_is_dead_with_its_traceback_in_its_log() -> None:
    broken = system(nodes=3)
    world = World(broken, 1)

    async def story() -> None:
        cluster = await world.start()
        await world.disks["n1"].write("wal", b"\xff" * 50 + b"garbage")
        world.disks["n1"].open("snapshot").change(b"nonsense")
        await cluster.kill("n1")
        await world.runtime.launch(cluster.specs["n1"])
        await asyncio.sleep(1)
        assert world.runtime.exit_status("n1") == 1
        assert "CorruptLog" in world.runtime.log("n1")

    world.run(story(), limit_s=100)
    world.close()


async def _kill_and_isolate(cluster: LiveCluster, rng: random.Random) -> None:
    await cluster.clock.sleep(0.5 + rng.random())
    killed = await cluster.kill(await cluster.wait_role("leader", 5))
    await cluster.clock.sleep(0.5)
    await killed.undo()
    await cluster.apply(Pause("n2"))


def test_a_script_runs_beside_the_load_and_what_it_left_in_force_is_undone() -> None:
    result, run, _ = perform(Scenario(system=FIVE, workload=register(rate_per_s=20), seconds=4, script=_kill_and_isolate), 3)

    assert (result.verdict, result.summary) == ("held", "")
    assert result.faults == {"kill": 1, "pause": 1}
    assert run is not None
    assert [fault.words.split()[0] for fault in run.faults] == ["kill", "pause"]
    assert all(fault.end_ns is not None for fault in run.faults)
    assert run.start_ns < run.faults[0].start_ns < run.history.operations[-1].invoke_ns < run.end_ns


def test_while_a_fault_is_held_by_hand_nodes_are_asked_once_and_agreement_is_not_demanded() -> None:
    """The node that is cut off cannot agree: nobody waits for it, and what needs it is not judged."""
    three = system(nodes=3)
    workload = three.workloads["register"](operations=20)
    world = World(three, 1)

    async def story() -> tuple[Run, int]:
        cluster = await world.start()
        leader = await cluster.wait_role("leader", 10)
        rest = frozenset(cluster.nodes) - {leader}
        await cluster.apply(Partition((frozenset({leader}), rest)))
        plan = draw((), cluster.nodes, 2.0, 1)
        run = await perform_one(world, cluster, workload, plan, TestRequest(test="", seed=1), 1, {})
        return run, world.clock.now_ns()

    run, end_ns = world.run(story())
    world.close()

    assert {verdict.name for verdict in run.verdicts} == {"linearizable", "election-safety", "replicas-agree"}
    assert [note for note in run.notes if note.startswith("not judged: caught-up; in force to the end: partition")]
    assert Counter(op.node for op in run.history if op.f == "state") == dict.fromkeys(three.node_names, 1)
    assert end_ns - run.start_ns < 5e9
