"""What every runtime promises. A runtime is added to RUNTIMES and passes as it is, but for what it does not declare it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos.errors import CapabilityError, FaultError, StartError, UsageError
from pytest_coordchaos.runtimes.base import Capability, NodeState
from pytest_coordchaos.system.readiness import ready_log, ready_port
from tests.systems.process_rig import can_be_bound, daemon_pids, is_alive, until, until_ready
from tests.systems.runtime_rigs import RUNTIMES, Rig, Story

Tell = Callable[[Story], None]


@pytest.fixture(params=RUNTIMES)
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Tell:
    """Runs a story on a fresh runtime."""
    return lambda story: RUNTIMES[request.param](tmp_path, story)


def _needs(runtime: Any, capability: Capability) -> None:
    if capability not in runtime.capabilities:
        pytest.skip(f"the runtime does not declare {capability}")


def test_a_node_runs_in_its_directory_with_its_files_and_environment(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.PROGRAMS)
        script = "cat conf/a.txt; echo $COLOUR; pwd; exec sleep 1000"
        spec = rig.node("sh", "-c", script, env={"COLOUR": "green"}, files={"conf/a.txt": "quorum = 2\n"})
        await runtime.launch(spec)
        await until_ready(runtime, ready_log(r"/n1$"))

        assert runtime.log("n1").splitlines() == ["quorum = 2", "green", str(rig.root / "n1")]
        assert runtime.state("n1") is NodeState.RUNNING

    tell(story)


@pytest.mark.parametrize("options", [("reuse",), ()], ids=["with SO_REUSEADDR", "without"])
@pytest.mark.parametrize("told", [True, False], ids=["listens given", "not given"])
def test_ports_survive_kill_and_restart_and_refuse_meanwhile(tell: Tell, options: tuple[str, ...], told: bool) -> None:
    """The same port again after a kill; refused while down; not to be taken. Not given and without the option: it says so."""

    async def story(runtime: Any, rig: Rig) -> None:
        address = await rig.address()
        spec = rig.program("echo_server", *address, *options, listens=[address] if told else None)
        assert not await rig.echoes(address)
        if not told and not options and Capability.HELD_PORTS in runtime.capabilities:
            await runtime.launch(spec)
            with pytest.raises(StartError, match="Address already in use"):
                await until_ready(runtime, ready_port("tcp"), tcp=address)
            return
        for _ in range(3):
            await runtime.launch(spec)
            await until_ready(runtime, ready_log(r"listening[^-]*\Z"))
            if options:  # a connection leaves TIME_WAIT behind, which a program without the option cannot get past
                assert await rig.echoes(address)
            await runtime.kill("n1")
            assert not rig.can_be_bound(address, reuse=False)
            assert not rig.can_be_bound(address, reuse=True) or not told
            if options:
                assert not await rig.echoes(address)

    tell(story)


def test_reserved_ports_are_given_back_by_stop(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.PROGRAMS)
        addresses = await runtime.reserve(5)
        low, high = _ephemeral_range()
        assert len(set(addresses)) == 5
        assert not any(number < 1024 or low <= number <= high for _, number in addresses)
        assert not any(can_be_bound(address, reuse=True) for address in addresses)

        await runtime.stop()

        assert all(can_be_bound(address, reuse=False) for address in addresses)

    tell(story)


def test_claimed_addresses_are_loopback_and_nobody_elses(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.PROGRAMS)
        claimed = await runtime.claim_hosts(30) + await runtime.claim_hosts(30)

        assert len(set(claimed)) == 60
        assert all(host.startswith("127.") and not host.startswith("127.0.") for host in claimed)

    tell(story)


def test_kill_ends_the_whole_tree_daemons_included(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        await runtime.launch(rig.program("daemons", 3))
        await until_ready(runtime, ready_log("all daemons are up"))
        assert await rig.alive() == 3

        await runtime.kill("n1")

        assert await rig.alive() == 0
        assert (runtime.state("n1"), runtime.exit_status("n1")) == (NodeState.DEAD, -9)

    tell(story)


def test_a_node_whose_first_process_leaves_is_dead_as_a_whole(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        await runtime.launch(rig.program("daemons", 2, "leave"))
        await until(lambda: runtime.state("n1") is NodeState.DEAD, "the node's end")

        assert runtime.exit_status("n1") == 0
        assert len(daemon_pids(runtime)) == 2
        assert await rig.alive() == 0

    tell(story)


def test_kill_needs_no_consent_and_may_be_repeated(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        await runtime.launch(rig.program("stubborn"))
        await until_ready(runtime, ready_log("I stay"))
        await runtime.pause("n1")

        await runtime.kill("n1")
        await runtime.kill("n1")

        assert runtime.state("n1") is NodeState.DEAD

    tell(story)


def test_pause_stops_every_thread_and_resume_goes_on(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        await runtime.launch(rig.program("counts"))
        await rig.until_larger("ticks", 0)

        await runtime.pause("n1")
        stopped_at, cpu_s = await rig.size("ticks"), await runtime.cpu_seconds("n1")
        for _ in range(5):
            assert (await rig.size("ticks"), await runtime.cpu_seconds("n1")) == (stopped_at, cpu_s)
        assert runtime.state("n1") is NodeState.PAUSED

        await runtime.resume("n1")
        assert runtime.state("n1") is NodeState.RUNNING
        await rig.until_larger("ticks", stopped_at)

    tell(story)


def test_a_dead_node_cannot_be_paused_or_resumed_and_a_live_one_not_launched(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        spec = rig.program("stubborn")
        await runtime.launch(spec)
        with pytest.raises(UsageError, match=r"launch\('n1'\): the node is alive; kill it first"):
            await runtime.launch(spec)
        await runtime.kill("n1")
        with pytest.raises(FaultError, match=r"pause\('n1'\): n1 is dead"):
            await runtime.pause("n1")
        with pytest.raises(FaultError, match=r"resume\('n1'\): n1 is dead"):
            await runtime.resume("n1")

    tell(story)


def test_cpu_seconds_grow_with_work_and_survive_a_restart(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.CPU_SECONDS)
        spec = rig.program("counts")
        await runtime.launch(spec)
        await rig.until_larger("ticks", 20)
        early = await runtime.cpu_seconds("n1")
        await rig.until_larger("ticks", 60)
        late = await runtime.cpu_seconds("n1")
        await runtime.kill("n1")
        dead = await runtime.cpu_seconds("n1")
        await runtime.launch(spec)
        reborn = await runtime.cpu_seconds("n1")

        assert 0 < early < late <= dead <= reborn

    tell(story)


def test_the_log_keeps_all_incarnations_with_a_line_between(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        spec = rig.program("fails")
        for _ in range(2):
            await runtime.launch(spec)
            await until(lambda: runtime.state("n1") is NodeState.DEAD, "its exit")
        error = "configuration error: no such quorum"

        assert runtime.exit_status("n1") == 3
        assert runtime.log("n1").splitlines() == [error, "--- coordchaos: n1 is started again (start 2) ---", error]

    tell(story)


def test_waiting_for_a_node_that_exits_stops_at_once_and_shows_why(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        await runtime.launch(rig.program("fails"))
        with pytest.raises(StartError) as caught:
            await until_ready(runtime, ready_log("never said"))

        assert "Node n1 exited with exit status 3 after" in str(caught.value)
        assert "waiting for \"log matches 'never said'\"" in str(caught.value)
        assert f"(command: {runtime.command('n1')})" in str(caught.value)
        assert "fails.py" in runtime.command("n1") or Capability.PROGRAMS not in runtime.capabilities
        assert caught.value.log_tail == ("configuration error: no such quorum",)

    tell(story)


def test_a_program_that_is_not_there_is_named(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.PROGRAMS)
        with pytest.raises(StartError, match="Node n1 did not start: cannot run 'no-such-db': No such file or directory"):
            await runtime.launch(rig.node("no-such-db", "--x"))

        assert runtime.state("n1") is NodeState.DEAD

    tell(story)


def test_a_file_outside_the_nodes_directory_is_refused(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        spec = rig.node("true", files={"../n2/db": ""})
        with pytest.raises(UsageError, match=r"file '\.\./n2/db' is not allowed"):
            await runtime.launch(spec)

    tell(story)


def test_stop_ends_everything_may_be_repeated_and_lets_nothing_start_any_more(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        specs = [rig.program("daemons", 1, node=f"n{i}") for i in range(3)]
        await asyncio.gather(*(runtime.launch(spec) for spec in specs))
        for spec in specs:
            await until_ready(runtime, ready_log("all daemons are up"), spec.name)
        assert [await rig.alive(spec.name) for spec in specs] == [1, 1, 1]

        await runtime.stop()
        await runtime.stop()

        assert [await rig.alive(spec.name) for spec in specs] == [0, 0, 0]
        assert [runtime.state(spec.name) for spec in specs] == [NodeState.DEAD] * 3
        with pytest.raises(StartError, match="the cluster has been stopped"):
            await runtime.launch(specs[0])

    tell(story)


def test_helpers_end_with_the_cluster(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        _needs(runtime, Capability.PROGRAMS)
        helper = await runtime.spawn_helper("aid", ["sleep", "1000"], log=rig.outside / "aid.log", pass_env={"A": "b"})
        assert is_alive(helper)

        await runtime.stop()

        assert not is_alive(helper)

    tell(story)


def test_what_only_runtimes_of_programs_can_do_others_refuse_by_name(tell: Tell) -> None:
    async def story(runtime: Any, rig: Rig) -> None:
        if Capability.PROGRAMS in runtime.capabilities:
            pytest.skip("it runs programs")
        helper = runtime.spawn_helper("aid", ["true"], log=rig.outside / "aid.log", pass_env={})
        for asked in (runtime.reserve(1), runtime.claim_hosts(1), helper):
            with pytest.raises(CapabilityError, match=f"runtime {runtime.name} "):
                await asked

    tell(story)


def _ephemeral_range() -> list[int]:
    return [int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()]
