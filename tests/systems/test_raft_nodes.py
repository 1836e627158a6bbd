"""Raft nodes as real processes on loopback, with direct links: no relay, no plugin, only what is shipped in the image."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pytest_coordchaos import Call, Failed, NodeProbe, Request
from reference_systems.kit.storage import encode_record
from reference_systems.raft_kv.client import RaftClient
from reference_systems.raft_kv.system import status, system

REPOSITORY = Path(__file__).resolve().parents[2]
T = TypeVar("T")
DEADLINE_S = 20.0
PEER_PORT, CLIENT_PORT = 21001, 21002


class Processes:
    """A cluster of node processes; also what `RaftClient` asks of a cluster."""

    def __init__(self, directory: Path, count: int, **options: float) -> None:
        self.nodes = tuple(f"n{i}" for i in range(1, count + 1))
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # an address nobody else uses, so that fixed port numbers are free
        draw = random.SystemRandom()
        prefix = f"127.{draw.randrange(64, 127)}.{draw.randrange(256)}"
        self._hosts = {name: f"{prefix}.{i}" for i, name in enumerate(self.nodes, start=10)}
        self._ids = iter(range(1, 1_000_000))
        for index, name in enumerate(self.nodes, start=1):
            self._write_node_file(index, name, options)

    def _write_node_file(self, index: int, name: str, options: dict[str, float]) -> None:
        directory = self._directory / name
        directory.mkdir(parents=True)
        host = self._hosts[name]
        document = {
            "name": name,
            "index": index,
            "nodes": list(self.nodes),
            "dir": str(directory),
            "seed": 1,
            "options": options,
            "bind": {"peer": [host, PEER_PORT], "client": [host, CLIENT_PORT]},
            "links": {peer: {"peer": [self._hosts[peer], PEER_PORT]} for peer in self.nodes if peer != name},
        }
        (directory / "node.json").write_text(json.dumps(document))

    def start(self, *names: str) -> None:
        for name in names or self.nodes:
            directory = self._directory / name
            spec = system(len(self.nodes))
            with (directory / "log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [sys.executable, "-S", "-m", spec.host, str(spec.entry), str(directory / "node.json")],
                    env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )

    def kill(self, *names: str) -> None:
        for name in names or self.nodes:
            process = self._running.pop(name, None)
            if process:
                process.kill()
                process.wait()

    def signal(self, name: str, number: int) -> None:
        self._running[name].send_signal(number)

    def fill_disk(self, name: str) -> None:
        """From now on the node's files end at 32 KiB: a longer write fails as on a full disk."""
        resource.prlimit(self._running[name].pid, resource.RLIMIT_FSIZE, (32768, 32768))

    def exit_status(self, name: str) -> int | None:
        return self._running[name].poll()

    def log(self, name: str) -> str:
        return (self._directory / name / "log").read_text()

    def data(self, name: str) -> Path:
        return self._directory / name / "data"

    async def open_connection(self, node: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert port == "client"
        return await asyncio.open_connection(self._hosts[node], CLIENT_PORT)

    async def dial(self, node: str, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to any port of a node."""
        return await asyncio.open_connection(self._hosts[node], number)

    async def status(self, name: str) -> dict[str, Any]:
        """What the node says; {} when it does not answer."""
        try:
            return dict(await status(NodeProbe(name=name, addresses={"client": (self._hosts[name], CLIENT_PORT)})))
        except OSError:
            return {}

    async def has_applied(self, name: str, entries: int) -> bool:
        """Whether its log holds so many, and it knows that they are committed."""
        return bool((await self.status(name)).get("applied", 0) >= entries)

    async def leader(self, *, not_: str = "") -> str:
        """Wait until a majority agrees on one leader of one term."""

        async def agreed() -> str | None:
            answers = [await self.status(name) for name in self._running]
            claims = [a for a in answers if a.get("role") == "leader" and a["name"] != not_]
            for claim in claims:
                followers = sum(a.get("leader") == claim["name"] and a["term"] == claim["term"] for a in answers)
                if followers > len(self.nodes) // 2:
                    return str(claim["name"])
            return None

        return await eventually("a leader that a majority follows", agreed)

    async def do(self, client: RaftClient, f: str, key: str, value: Any = None, timeout_s: float = 5.0) -> Any:
        return await client.call(Call(id=next(self._ids), request=Request(f=f, key=key, value=value), timeout_s=timeout_s))


async def eventually(what: str, condition: Callable[[], Awaitable[T | None]]) -> T:
    """Ask until the condition gives something; fail by name at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = await condition()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


@contextlib.asynccontextmanager
async def running(directory: Path, count: int = 3, **options: float) -> AsyncIterator[tuple[Processes, RaftClient]]:
    processes = Processes(directory, count, **options)
    client = RaftClient(processes, "n1")
    try:
        processes.start()
        await processes.leader()
        yield processes, client
    finally:
        processes.kill()
        client.close()


def test_a_leader_is_elected_and_serves_every_operation(tmp_path: Path) -> None:
    """put, get, cas and delete mean what their names say, from whichever node the client starts."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            assert await nodes.do(client, "get", "x") is None
            assert await nodes.do(client, "put", "x", 1) is None
            assert await nodes.do(client, "get", "x") == 1
            assert await nodes.do(client, "cas", "x", [1, 2]) is True
            assert await nodes.do(client, "cas", "x", [1, 3]) is False
            assert await nodes.do(client, "get", "x") == 2
            await nodes.do(client, "delete", "x")
            for name in nodes.nodes:
                other = RaftClient(nodes, name)
                assert await nodes.do(other, "get", "x") is None
                other.close()

    asyncio.run(scenario())


def test_a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """kill -9 of the leader under writes; then of everybody; every acknowledged value is there."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            for number in range(20):
                await nodes.do(client, "put", f"k{number}", number)
            old = await nodes.leader()
            nodes.kill(old)
            for number in range(20, 40):
                await nodes.do(client, "put", f"k{number}", number)
            assert await nodes.leader(not_=old) != old
            nodes.start(old)
            nodes.kill()
            nodes.start()
            await nodes.leader()
            assert [await nodes.do(client, "get", f"k{number}") for number in range(40)] == list(range(40))

    asyncio.run(scenario())


def test_a_paused_leader_is_replaced_and_never_answers_from_the_past(tmp_path: Path) -> None:
    """SIGSTOP longer than an election timeout; the read it was asked meanwhile is not answered from its old state."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            await nodes.do(client, "put", "x", "old")
            old = await nodes.leader()
            nodes.signal(old, signal.SIGSTOP)
            other = RaftClient(nodes, next(name for name in nodes.nodes if name != old))
            await nodes.do(other, "put", "x", "new")
            stale = RaftClient(nodes, old)
            reading = asyncio.create_task(nodes.do(stale, "get", "x", timeout_s=DEADLINE_S))
            nodes.signal(old, signal.SIGCONT)
            assert await reading == "new"
            other.close()
            stale.close()

    asyncio.run(scenario())


def test_a_leader_without_a_majority_steps_down_and_writes_fail_or_stay_unknown(tmp_path: Path) -> None:
    """Nothing is acknowledged by one of three; with the majority back the store goes on."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            leader = await nodes.leader()
            others = [name for name in nodes.nodes if name != leader]
            nodes.kill(*others)
            alone = RaftClient(nodes, leader)
            with pytest.raises((TimeoutError, Failed)):
                await nodes.do(alone, "put", "x", 1, timeout_s=1.0)

            async def stepped_down() -> bool:
                return (await nodes.status(leader)).get("role") != "leader"

            await eventually(f"{leader} steps down", stepped_down)
            with pytest.raises(Failed):
                await nodes.do(alone, "get", "x", timeout_s=0.5)
            nodes.start(*others)
            await nodes.do(client, "put", "y", 2)
            alone.close()

    asyncio.run(scenario())


def test_the_log_is_compacted_and_a_late_node_catches_up_by_snapshot(tmp_path: Path) -> None:
    """The log on disk stays bounded, and a node that missed the entries gets the state in chunks."""

    async def scenario() -> None:
        options = {"snapshot_every_entries": 50, "snapshot_keep_entries": 5, "chunk_bytes": 4096}
        async with running(tmp_path, **options) as (nodes, client):
            leader = await nodes.leader()
            late = next(name for name in nodes.nodes if name != leader)
            nodes.kill(late)
            for number in range(200):
                await nodes.do(client, "put", f"k{number % 20}", [number, "x" * 1000])
            state = await nodes.status(leader)
            assert state["snapshot_index"] > 100
            nodes.start(late)

            await eventually(f"{late} catches up", lambda: nodes.has_applied(late, state["applied"]))
            assert (await nodes.status(late))["snapshot_index"] > 100
            assert (nodes.data(late) / "wal").stat().st_size < 100_000
            nodes.kill(leader)  # the late node must be good for a majority now
            assert (await nodes.do(client, "get", "k19"))[0] == 199

    asyncio.run(scenario())


def test_a_node_whose_disk_refuses_writes_stops(tmp_path: Path) -> None:
    """It must not go on as if the write had happened: it exits with status 1 and says why; the others serve on."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            await nodes.do(client, "put", "x", 1)
            leader = await nodes.leader()
            nodes.fill_disk(leader)
            await nodes.do(client, "put", "x", "2" * 65536, timeout_s=DEADLINE_S)

            async def stopped() -> bool:
                return nodes.exit_status(leader) is not None

            await eventually(f"{leader} stops", stopped)
            assert nodes.exit_status(leader) == 1
            assert "OSError" in nodes.log(leader)
            assert await nodes.do(client, "get", "x") == "2" * 65536

    asyncio.run(scenario())


def test_a_node_with_a_damaged_log_refuses_to_start(tmp_path: Path) -> None:
    """It would forget what it promised; a torn tail is another matter."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            for number in range(5):
                await nodes.do(client, "put", "x", number)
            for name in ("n1", "n2"):
                await eventually(f"{name} has it all", lambda name=name: nodes.has_applied(name, 5))
            nodes.kill("n1", "n2")
            log = bytearray((nodes.data("n1") / "wal").read_bytes())
            log[12] ^= 1
            (nodes.data("n1") / "wal").write_bytes(log)
            with (nodes.data("n2") / "wal").open("ab") as torn:
                torn.write(encode_record(b"never acknowledged")[:-1])
            nodes.start("n1", "n2")

            async def stopped() -> bool:
                return nodes.exit_status("n1") is not None

            await eventually("n1 stops", stopped)
            assert "CorruptLog" in nodes.log("n1")
            await nodes.do(client, "put", "x", 9)
            assert nodes.exit_status("n2") is None

    asyncio.run(scenario())


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xff" * 64, b"\x00\x00\x00\x0c\x00\x63" + bytes(10)])
def test_garbage_on_a_port_ends_the_connection_and_nothing_else(tmp_path: Path, garbage: bytes) -> None:
    """Whoever speaks something else is hung up on; the node lives."""

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, client):
            await eventually("n1 answers", lambda: nodes.status("n1"))  # a leader needs only the other two
            for port in (PEER_PORT, CLIENT_PORT):
                reader, writer = await nodes.dial("n1", port)
                writer.write(garbage)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            await nodes.do(client, "put", "x", 1)
            assert nodes.exit_status("n1") is None

    asyncio.run(scenario())


def test_many_clients_at_once_count_exactly(tmp_path: Path) -> None:
    """Concurrent compare-and-set loops on one counter, with a leader killed in the middle: no increment is lost or doubled."""

    async def increment(nodes: Processes, client: RaftClient, times: int) -> int:
        done = 0
        while done < times:
            now = await nodes.do(client, "get", "n", timeout_s=DEADLINE_S)
            done += await nodes.do(client, "cas", "n", [now, (now or 0) + 1], timeout_s=DEADLINE_S)
        return done

    async def scenario() -> None:
        async with running(tmp_path) as (nodes, first):
            clients = [RaftClient(nodes, name) for name in nodes.nodes * 2]
            work = [asyncio.create_task(increment(nodes, client, 10)) for client in clients]
            await nodes.do(first, "put", "warm", 1)
            nodes.kill(await nodes.leader())
            total = sum(await asyncio.gather(*work))
            assert await nodes.do(first, "get", "n") == total == 60
            for client in clients:
                client.close()

    asyncio.run(scenario())
