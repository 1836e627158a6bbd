"""The real network of nodes: addresses by name, garbage, slow receivers, ends; and how a node process ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reference_systems.kit.datagrams import MAX_DATAGRAM_BYTES, FrameDatagrams
from reference_systems.kit.env import Connection
from reference_systems.kit.frames import Frame, FrameError, encode
from reference_systems.kit.network import MAX_UNSENT_BYTES, FrameConnection, RealNetwork

ROOT = Path(__file__).parents[2]
PORT = 21003


def own_host() -> str:
    """A loopback address nobody else uses, so that a fixed port is free."""
    draw = random.SystemRandom()
    return f"127.{draw.randrange(64, 127)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"


def network(directory: Path, host: str, target: str | None = None) -> RealNetwork:
    """A node that listens on `peer` and knows no link yet; the one it will read of leads to `target`, or to itself."""
    node_file = directory / f"{host}.json"
    node_file.write_text(json.dumps({"links": {"n2": {"peer": [target or host, PORT]}}}))
    read = lambda: json.loads(node_file.read_text())  # noqa: E731
    return RealNetwork(read, bind={"peer": (host, PORT)}, links={}, spawn=lambda c: asyncio.ensure_future(c))


@contextlib.asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[tuple[FrameConnection, Connection, asyncio.Event]]:
    """A dialled connection, the accepted one, and what ends the handler."""
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    done = asyncio.Event()

    async def handler(connection: Connection) -> None:
        accepted.put_nowait(connection)
        await done.wait()

    node = network(directory, own_host())
    try:
        await node.listen("peer", handler)
        dialled = await node.connect("n2", "peer")
        yield dialled, await accepted.get(), done
        dialled.close()
    finally:
        done.set()
        node.close()
        await asyncio.sleep(0)


def test_frames_travel_both_ways_in_order_and_an_end_is_seen(tmp_path: Path) -> None:
    """The link of an unknown peer is read from node.json when it is dialled."""

    async def scenario() -> None:
        frames = [Frame(kind=1, operations=(n,), body=bytes(n)) for n in range(1, 2000)]
        async with pair(tmp_path) as (dialled, accepted, done):
            assert all(dialled.send(frame) for frame in frames)
            assert [await accepted.receive() for _ in frames] == frames
            accepted.send(frames[0])
            assert await dialled.receive() == frames[0]
            done.set()
            assert await dialled.receive() is None
            assert dialled.closed
            assert not dialled.send(frames[0])

    asyncio.run(scenario())


def test_a_receiver_that_reads_nothing_is_cut_off_before_memory_grows(tmp_path: Path) -> None:
    """Sending never waits, so what is unsent must be bounded."""

    async def scenario() -> None:
        frame, sent = Frame(kind=1, body=bytes(1024 * 1024)), 0
        async with pair(tmp_path) as (dialled, _never_read, _):
            while dialled.send(frame):
                sent += len(frame.body)
                await asyncio.sleep(0)
                assert sent < 40 * MAX_UNSENT_BYTES, "the unsent bytes have no bound"

    asyncio.run(scenario())


def test_an_unknown_peer_is_refused_by_name(tmp_path: Path) -> None:
    """Like a peer that is down."""
    with pytest.raises(ConnectionRefusedError, match="no link to port 'peer' of 'n9' is known"):
        asyncio.run(network(tmp_path, "127.0.0.1").connect("n9", "peer"))


@contextlib.asynccontextmanager
async def two_by_udp(directory: Path) -> AsyncIterator[tuple[FrameDatagrams, FrameDatagrams, asyncio.Queue[Frame]]]:
    """Endpoints of n1 and n2, n1's link to n2, and what n2 was sent."""
    came: asyncio.Queue[Frame] = asyncio.Queue()
    host, other = own_host(), own_host()
    sender = await network(directory, host, target=other).open_datagrams("peer", lambda frame: None)
    receiver = await network(directory, other).open_datagrams("peer", came.put_nowait)
    try:
        yield sender, receiver, came
    finally:
        sender.close()
        receiver.close()
        await asyncio.sleep(0)


def test_a_frame_is_one_datagram_sent_by_name_and_garbage_is_dropped(tmp_path: Path) -> None:
    """Its sender is in the frame; the longest datagram is said, and a longer one refused."""

    async def scenario() -> None:
        longest = Frame(kind=2, sender=1, body=bytes(MAX_DATAGRAM_BYTES - len(encode(Frame(kind=2)))))
        async with two_by_udp(tmp_path) as (sender, receiver, came):
            own = Frame(kind=1, operations=(7,), sender=1, body=b"hello")
            sender.send("n2", own)
            assert await came.get() == own
            for garbage in (b"", encode(own)[:-1], encode(own) + b"x", encode(own) * 2, encode(own).replace(b"hello", b"hallo")):
                receiver.datagram_received(garbage, None)
            sender.send("n2", longest)
            assert await came.get() == longest
            with pytest.raises(FrameError, match=f"1401 bytes is too long for a datagram; allowed: at most {MAX_DATAGRAM_BYTES}"):
                sender.send("n2", Frame(kind=2, sender=1, body=longest.body + b"x"))
            with pytest.raises(ConnectionRefusedError, match="no link to port 'peer' of 'n9' is known"):
                sender.send("n9", own)
            receiver.close()
            for _ in range(3):
                sender.send("n2", own)  # nobody is there any more: lost, and no error
                await asyncio.sleep(0)
            assert came.empty()

    asyncio.run(scenario())


NODE = """
import asyncio
async def returns(env): pass
async def fails(env): raise OSError("the disk is gone")
async def fails_beside(env):
    async def beside(): raise OSError("the disk is gone")
    env.spawn(beside())
    await env.clock.sleep(3600)
async def draws(env): print(env.name, env.index, env.peers, env.random.random())
"""


def run_node(directory: Path, function: str) -> subprocess.CompletedProcess[str]:
    """One node process, to its end."""
    (directory / "mynode.py").write_text(NODE)
    document = {"name": "a", "index": 1, "nodes": ["a", "b"], "dir": str(directory / "a"), "seed": 5, "bind": {}, "links": {}}
    (directory / "node.json").write_text(json.dumps(document))
    command = [sys.executable, "-S", "-m", "reference_systems.kit", f"mynode:{function}", str(directory / "node.json")]
    env = {"PYTHONPATH": f"{ROOT}:{directory}"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    ("function", "status", "says"),
    [("returns", 0, ""), ("fails", 1, "the disk is gone"), ("fails_beside", 1, "the disk is gone")],
)
def test_a_failure_anywhere_in_a_node_ends_it(tmp_path: Path, function: str, status: int, says: str) -> None:
    """Also in a task that main does not wait for: a node never limps on."""
    done = run_node(tmp_path, function)
    assert done.returncode == status
    assert says in done.stderr


def test_each_life_of_a_node_draws_other_numbers(tmp_path: Path) -> None:
    """Seeded by seed, name and incarnation: repeatable for a fresh directory, different after a restart."""
    first, second = run_node(tmp_path, "draws").stdout, run_node(tmp_path, "draws").stdout
    (tmp_path / "other").mkdir()
    assert first != second
    assert run_node(tmp_path / "other", "draws").stdout == first
    assert first.startswith("a 1 ('b',)")
