"""What only the process runtime promises: private hosts files, programs that step on TIME_WAIT, several clusters per guard."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.base import Capability, NodeSpec, NodeState
from pytest_coordchaos.runtimes.guard import Guard, WatchdogError
from pytest_coordchaos.runtimes.hosts import hosts_text, user_namespaces_available
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.runtimes.procfs import read_stat
from pytest_coordchaos.system.readiness import ready_log, ready_port
from tests.requirements import require
from tests.systems.process_rig import can_be_bound, daemon_pids, echoes, is_alive, process_runtime, program, until, until_ready


def test_each_node_has_its_own_hosts_file_and_the_machine_keeps_its_own(tmp_path: Path) -> None:
    refused = user_namespaces_available()
    require("userns", refused is None, refused or "")
    machine = Path("/etc/hosts").read_text()

    async def story() -> None:
        async with process_runtime(tmp_path) as runtime:
            assert Capability.SHARED_ADDRESSES in runtime.capabilities
            own = await runtime.claim_hosts(2)
            for node, host in zip(("n1", "n2"), own, strict=True):
                spec = program("resolves", "db-1", "localhost", node=node, root=tmp_path)
                await runtime.launch(_with_hosts(spec, {"db-1": host}))
            for node, host in zip(("n1", "n2"), own, strict=True):
                await until_ready(runtime, ready_log("resolved"), node)
                assert runtime.log(node).splitlines() == [f"db-1 {host}", "localhost 127.0.0.1", "resolved"]
            assert await runtime.cpu_seconds("n1") > 0
            await runtime.pause("n1")
            await runtime.kill("n1")

    asyncio.run(story())

    assert Path("/etc/hosts").read_text() == machine


def test_a_refused_hosts_file_is_a_sentence_and_starts_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with process_runtime(tmp_path) as runtime:
            runtime._refused = "the kernel refused a private hosts file (unshare(user, mount): Operation not permitted)"
            spec = _with_hosts(program("resolves", "db-1", root=tmp_path), {"db-1": "127.1.2.3"})
            with pytest.raises(
                CapabilityError, match=r"Node n1 needs its own names .*addresses='shared'.*unshare\(user, mount\)"
            ):
                await runtime.launch(spec)
            assert runtime.state("n1") is NodeState.DEAD
            assert not (tmp_path / "n1").exists()

    asyncio.run(story())


def test_hosts_text_puts_ours_first_and_drops_rival_lines() -> None:
    base = "127.0.0.1 localhost\n10.0.0.9 db-1 old\n# db-1 in a comment\n"

    assert hosts_text({"db-1": "127.3.4.5"}, base) == "127.3.4.5\tdb-1\n127.0.0.1 localhost\n# db-1 in a comment\n"


def test_a_port_with_dying_connections_is_held_and_given_to_the_next_incarnation(tmp_path: Path) -> None:
    """Killed with a connection open, the node's side waits in TIME_WAIT; the holder must get beside it, a rival must not."""

    async def story() -> None:
        async with process_runtime(tmp_path) as runtime:
            (address,) = await runtime.reserve(1)
            spec = program("echo_server", *address, "reuse", root=tmp_path, listens=[address])
            await runtime.launch(spec)
            await until_ready(runtime, ready_port("tcp"), tcp=address)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            await reader.readexactly(1)
            await runtime.kill("n1")
            assert await reader.read() == b""
            writer.close()
            assert not can_be_bound(address, reuse=True)
            await runtime.launch(spec)
            await until_ready(runtime, ready_port("tcp"), tcp=address)
            assert await echoes(address)

    asyncio.run(story())


def test_two_clusters_of_one_session_do_not_meet(tmp_path: Path) -> None:
    """Same node names, other processes; stopping one leaves the other alone."""

    async def story() -> None:
        guard = await Guard.start(tmp_path, "two")
        try:
            one, other = [await ProcessRuntime.create(guard, "two", tmp_path / name) for name in ("a", "b")]
            (tmp_path / "a").mkdir()
            (tmp_path / "b").mkdir()
            for runtime, root in ((one, tmp_path / "a"), (other, tmp_path / "b")):
                await runtime.launch(program("stubborn", root=root))
            await one.stop()
            assert (one.state("n1"), other.state("n1")) == (NodeState.DEAD, NodeState.RUNNING)
            await other.kill("n1")
            await other.launch(program("stubborn", root=tmp_path / "b"))
        finally:
            await guard.aclose()
        await guard.aclose()
        assert other.state("n1") is NodeState.DEAD
        with pytest.raises(WatchdogError, match="reserve: the watchdog is gone"):
            await guard.call("reserve", scope="x", count=1, host="127.0.0.1")

    asyncio.run(story())


def test_two_sessions_never_reserve_the_same(tmp_path: Path) -> None:
    """Even when both look for ports and addresses at the same moment, and lend them out at once."""

    async def story() -> None:
        roots = [tmp_path / "a", tmp_path / "b"]
        for root in roots:
            root.mkdir()
        async with process_runtime(roots[0]) as one, process_runtime(roots[1]) as other:
            answers = await asyncio.gather(*(runtime.reserve(300) for runtime in (one, other)))
            assert not set(answers[0]) & set(answers[1])

    asyncio.run(story())


def test_a_killed_watchdog_takes_its_nodes_with_it_and_everybody_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with process_runtime(tmp_path) as runtime:
            await runtime.launch(program("daemons", 2, root=tmp_path))
            await until_ready(runtime, ready_log("all daemons are up"))
            daemons = daemon_pids(runtime)
            runtime._guard._process.kill()
            await until(lambda: runtime.state("n1") is NodeState.DEAD, "the news")
            await until(lambda: not any(map(is_alive, daemons)), "the daemons' end")
            assert runtime.exit_status("n1") == -9

    asyncio.run(story())


def test_a_killed_keeper_takes_its_node_with_it_and_its_daemons_are_found(tmp_path: Path) -> None:
    """The daemons become the watchdog's children, carry no label, and are ended all the same."""

    async def story() -> None:
        async with process_runtime(tmp_path) as runtime:
            await runtime.launch(program("daemons", 2, root=tmp_path))
            await until_ready(runtime, ready_log("all daemons are up"))
            daemons = daemon_pids(runtime)
            keeper = read_stat(daemons[0])
            assert keeper is not None
            os.kill(keeper.ppid, signal.SIGKILL)
            await until(lambda: runtime.state("n1") is NodeState.DEAD, "the node's end")
            assert not any(map(is_alive, daemons))
            assert runtime.exit_status("n1") == -9
            await runtime.launch(program("stubborn", root=tmp_path))

    asyncio.run(story())


def _with_hosts(spec: NodeSpec, hosts: dict[str, str]) -> NodeSpec:
    return replace(spec, hosts=hosts)
