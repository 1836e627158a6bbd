"""What every runtime promises of clocks and disks, told to one node of ours."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from pytest_coordchaos import Drift, FullDisk, Jump, Pause, Skew, SlowDisk, UsageError
from pytest_coordchaos.live_cluster import LiveCluster
from tests.systems.machine_rig import Story, ask, true_wall_s, until_dead

SLACK_S = 2.0
"""How late an answer may be on a busy machine."""


async def _off_s(cluster: LiveCluster) -> float:
    _, wall_s = await ask(cluster, "clocks")
    return float(wall_s) - true_wall_s(cluster)


async def skews_and_jumps_add_up_and_undo_in_any_order(cluster: LiveCluster) -> None:
    skew = await cluster.apply(Skew("n1", 100.0))
    jump = await cluster.apply(Jump("n1", -1000.0))
    assert skew.verified
    assert jump.verified
    assert await _off_s(cluster) == pytest.approx(-900, abs=SLACK_S)

    await skew.undo()
    assert await _off_s(cluster) == pytest.approx(-1000, abs=SLACK_S)
    await jump.undo()
    assert await _off_s(cluster) == pytest.approx(0, abs=SLACK_S)


async def a_wall_clock_that_jumps_moves_no_timer(cluster: LiveCluster) -> None:
    before, _ = await ask(cluster, "clocks")
    await cluster.apply(Jump("n1", -3600.0))
    after, _ = await ask(cluster, "clocks")
    assert 0 <= after - before < 10


async def a_fast_clock_fires_its_timers_early_and_a_slow_one_late(cluster: LiveCluster) -> None:
    fast = await cluster.apply(Drift("n1", 2.0))
    assert fast.verified
    for _ in range(20):  # a busy machine is late, but not each time
        own_s, true_s = await _slept(cluster, 0.4)
        assert own_s >= 0.399
        assert true_s >= 0.19
        if true_s < 0.39:
            break
    else:
        raise AssertionError("no timer of a fast clock fired early")
    await fast.undo()

    slow = await cluster.apply(Drift("n1", 0.5))
    assert slow.verified
    own_s, true_s = await _slept(cluster, 0.4)
    assert own_s >= 0.399
    assert true_s >= 0.79


async def _slept(cluster: LiveCluster, seconds: float) -> tuple[float, float]:
    """How long a sleep of the node took, by its own clock (and two requests), and in truth."""
    before, _ = await ask(cluster, "clocks")
    begun_ns = cluster.clock.now_ns()
    await ask(cluster, "sleep", seconds)
    true_s = (cluster.clock.now_ns() - begun_ns) / 1e9
    after, _ = await ask(cluster, "clocks")
    return after - before, true_s


async def what_a_clock_drifted_is_seen_until_it_is_set_right(cluster: LiveCluster) -> None:
    drift = await cluster.apply(Drift("n1", 2.0))
    await cluster.clock.sleep(1.0)
    assert await _off_s(cluster) >= 1.0
    await drift.undo()
    assert await _off_s(cluster) == pytest.approx(0, abs=0.5)


async def a_clock_stays_wrong_over_a_restart_and_heal_sets_it_right(cluster: LiveCluster) -> None:
    await cluster.apply(Skew("n1", 500.0))
    await cluster.kill("n1")
    await cluster.restart("n1")
    assert await _off_s(cluster) == pytest.approx(500, abs=SLACK_S)
    await cluster.heal()
    assert await _off_s(cluster) == pytest.approx(0, abs=SLACK_S)


async def a_node_that_is_stopped_sees_its_clock_when_it_goes_on(cluster: LiveCluster) -> None:
    pause = await cluster.apply(Pause("n1"))
    skew = await cluster.apply(Skew("n1", 500.0))
    assert "n1 is paused" in skew.probes[0].observed or cluster.runtime.name == "sim"
    await pause.undo()
    assert await _off_s(cluster) == pytest.approx(500, abs=SLACK_S)


async def a_forced_write_on_a_slow_disk_takes_that_much_longer(cluster: LiveCluster) -> None:
    one, two = await cluster.apply(SlowDisk("n1", 200.0)), await cluster.apply(SlowDisk("n1", 100.0))
    assert one.verified
    assert two.verified
    await ask(cluster, "append", "a")
    begun_ns = cluster.clock.now_ns()
    await ask(cluster, "sync_log")
    assert cluster.clock.now_ns() - begun_ns >= 300e6
    await cluster.heal()


async def a_full_disk_refuses_and_the_node_that_ended_is_started_again(cluster: LiveCluster) -> None:
    await ask(cluster, "append", "kept")
    await ask(cluster, "sync_log")
    full = await cluster.apply(FullDisk("n1"))
    assert full.verified
    for what, argument in (("append", "lost"), ("write", ["file", "lost"])):
        with pytest.raises(EOFError):
            await ask(cluster, what, argument)
        await until_dead(cluster)
        assert cluster.runtime.exit_status("n1") == 1
        assert "no space left" in cluster.runtime.log("n1")
        await cluster.restart("n1")
    with pytest.raises(EOFError):
        await ask(cluster, "append", "lost")
    await until_dead(cluster)

    await full.undo()

    files = await ask(cluster, "files")
    assert (list(files), files["log"][-4:]) == (["log"], "kept")
    await ask(cluster, "append", ", and more")


async def a_kill_keeps_what_was_written_and_a_loss_of_power_may_not(cluster: LiveCluster) -> None:
    for text in ("kept", "lost"):
        await ask(cluster, "write", [text, text])
        await ask(cluster, "sync_dir", [])
    await ask(cluster, "sync", ["kept"])
    await cluster.kill("n1")
    await cluster.restart("n1")
    files = await ask(cluster, "files")
    assert (files["kept"], files["lost"]) == ("kept", "lost")

    found = set()
    for _ in range(12):
        await ask(cluster, "write", ["lost", "lost"])
        power = await cluster.lose_power("n1")
        assert cluster.state("n1") == "dead"
        await power.undo()
        assert power.verified
        files = await ask(cluster, "files")
        assert files["kept"] == "kept"
        found.add(files["lost"])
        if "" in found:
            break
        await ask(cluster, "write", ["lost", ""])
        await ask(cluster, "sync", ["lost"])
    assert "" in found
    assert "lost power" in cluster.runtime.log("n1")


async def a_machine_without_power_says_nothing_to_anybody(cluster: LiveCluster) -> None:
    reader, writer = await cluster.open_connection("n1", "client")
    try:
        power = await cluster.lose_power("n1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        await power.undo()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(1), 20) == b""
    finally:
        writer.transport.abort()
    assert await ask(cluster, "files") is not None


async def a_clock_no_machine_has_is_refused(cluster: LiveCluster) -> None:
    for fault, allowed in ((Drift("n1", 3.0), "rate=3.0 is not allowed; 0.5 to 2"), (SlowDisk("n1", -1.0), "sync_ms=-1.0")):
        with pytest.raises(UsageError, match=allowed):
            await cluster.apply(fault)
    with pytest.raises(UsageError, match="no node 'n9'"):
        await cluster.apply(Skew("n9", 1.0))
    assert not any(handle.end_ns is None for handle in cluster.handles)


STORIES: tuple[Story, ...] = (
    skews_and_jumps_add_up_and_undo_in_any_order,
    a_wall_clock_that_jumps_moves_no_timer,
    a_fast_clock_fires_its_timers_early_and_a_slow_one_late,
    what_a_clock_drifted_is_seen_until_it_is_set_right,
    a_clock_stays_wrong_over_a_restart_and_heal_sets_it_right,
    a_node_that_is_stopped_sees_its_clock_when_it_goes_on,
    a_forced_write_on_a_slow_disk_takes_that_much_longer,
    a_full_disk_refuses_and_the_node_that_ended_is_started_again,
    a_kill_keeps_what_was_written_and_a_loss_of_power_may_not,
    a_machine_without_power_says_nothing_to_anybody,
    a_clock_no_machine_has_is_refused,
)
