"""Nothing grows without bound: a receiver that stops holds its sender back, and nobody else."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.server import Relay
from pytest_coordchaos.relay.toxics.base import queue_limit
from tests.relay.rig import DROP, RelayProcess, link_name, read_exactly, rigged, rss_bytes, spec, until

MiB = 1024 * 1024
STALLED = 600 * MiB  # far more than every buffer on the way together


@pytest.mark.parametrize("state", [PASS, DirectionState(LinkMode.PASS, 50.0)], ids=["passing", "delayed"])
async def test_a_stalled_receiver_stops_its_sender_and_costs_bounded_memory(relay: RelayProcess, state: DirectionState) -> None:
    async with rigged(relay) as rig:
        sender = await _sender(rig.address)
        node = (await rig.accepted.get())[1]
        node.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
        await rig.apply(up=state)
        before = rss_bytes(relay.pid)
        sent = await _send_until_held_back(sender)
        held = rss_bytes(relay.pid) - before
        other = await rig.dial()
        other[1].write(b"ok")
        second = await rig.accepted.get()

        assert await read_exactly(second[0], 2) == b"ok"
        assert sent < STALLED
        assert held < 3 * queue_limit(50_000_000) + 32 * MiB
        sender.close()


async def test_controls_answer_and_faults_apply_while_receivers_are_stalled(relay: RelayProcess) -> None:
    """Toxics changed on a stalled connection must not wedge the relay."""
    async with rigged(relay) as rig:
        sender = await _sender(rig.address)
        writer = (await rig.accepted.get())[1]
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
        await _send_until_held_back(sender)
        for up in (DirectionState(LinkMode.PASS, 20.0), PASS, DirectionState(LinkMode.PASS, 5.0), PASS):
            await rig.apply(up=up)
        mark = await rig.control.mark()
        await rig.control.ledger(mark)
        await rig.apply(up=DROP)
        await asyncio.get_running_loop().sock_sendall(sender, bytes(4 * MiB))
        sender.close()

        async def drained() -> bool:
            return (await rig.control.live())[rig.link].upstream_bytes > 4 * MiB

        await until(drained, "the cut swallows what the sender still sends")


async def test_a_receiver_that_wakes_up_gets_every_byte_in_order(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        sender = await _sender(rig.address)
        reader, writer = await rig.accepted.get()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
        sent = await _send_until_held_back(sender)
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
        got = bytearray()
        while len(got) < sent:
            got += await read_exactly(reader, min(MiB, sent - len(got)))
        sender.close()

    assert bytes(got) == _pattern(sent)


async def test_a_sender_held_back_while_the_node_is_dialled_goes_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before the node's end is there waits in a bounded queue; then everything flows."""
    dial, may_dial, limit = Connection._node_socket, asyncio.Event(), queue_limit(0)

    async def late(conn: Connection) -> socket.socket:
        await may_dial.wait()
        return await dial(conn)

    monkeypatch.setattr(Connection, "_node_socket", late)
    got: asyncio.Queue[bytes] = asyncio.Queue()
    size = 16 * limit

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.put_nowait(await reader.readexactly(size))
        writer.close()

    server = await asyncio.start_server(node, "127.0.0.1", 0)
    relay, link = Relay(seed="1", max_messages=1000), link_name()
    addresses = await relay.add_links([spec(link, server.sockets[0].getsockname())])
    sock = await _sender(addresses[link])
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sock, _pattern(size)))

    async def held_back() -> bool:
        return relay.links[link].up_tally.offered >= limit

    await until(held_back, "the queue is full")
    assert relay.links[link].up_tally.offered < size
    may_dial.set()
    async with asyncio.timeout(30):
        assert await got.get() == _pattern(size)
    await sending
    sock.close()
    server.close()
    await relay.close()


async def test_a_full_delay_queue_says_so(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        sender = await _sender(rig.address)
        node = await rig.accepted.get()
        await rig.apply(up=DirectionState(LinkMode.PASS, 250.0))
        limit = queue_limit(250_000_000)
        reading = asyncio.create_task(read_exactly(node[0], 3 * limit))
        await asyncio.get_running_loop().sock_sendall(sender, bytes(3 * limit))
        assert len(await reading) == 3 * limit
        sender.close()

        assert (await rig.control.live())[rig.link].saturated >= 1


@pytest.mark.parametrize(("delay_ms", "limit"), [(0, MiB), (1, MiB), (100, 6.4 * MiB), (1000, 64 * MiB), (60_000, 64 * MiB)])
def test_a_queue_is_sized_for_bandwidth_times_delay(delay_ms: int, limit: float) -> None:
    assert queue_limit(delay_ms * 1_000_000) == int(limit)


async def _sender(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


def _pattern(size: int) -> bytes:
    block = bytes(range(251)) * 4177  # a prime length: a lost or doubled chunk shows
    return (block * (size // len(block) + 1))[:size]


async def _send_until_held_back(sock: socket.socket) -> int:
    """Send until the socket takes no more for a good while; returns how many bytes it took."""
    loop, data, sent = asyncio.get_running_loop(), memoryview(_pattern(64 * MiB)), 0
    block = 251 * 4177
    while sent < STALLED:
        try:
            sent += sock.send(data[sent % block : sent % block + 4 * MiB])
        except BlockingIOError:
            writable: asyncio.Future[None] = loop.create_future()
            loop.add_writer(sock.fileno(), lambda f=writable: None if f.done() else f.set_result(None))  # type: ignore[misc]
            done, _ = await asyncio.wait([writable], timeout=0.5)
            loop.remove_writer(sock.fileno())
            if not done:
                return sent
    return sent
