"""Bytes go through whole, both ways, ends of streams and resets too."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from pytest_coordchaos.relay.control_client import RelayControl
from tests.relay.rig import RelayProcess, Rig, end_of, link_name, read_exactly, rigged, spec, until


@pytest.mark.parametrize("size", [1, 64, 64 * 1024, 8 * 1024 * 1024])
async def test_bytes_arrive_exactly_both_ways_at_once(relay: RelayProcess, size: int) -> None:
    there, back = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        client[1].write(there)
        node[1].write(back)
        got_back, got_there = await asyncio.gather(read_exactly(client[0], size), read_exactly(node[0], size))

    assert got_there == there
    assert got_back == back


async def test_a_half_closed_connection_still_brings_the_answer(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        client[1].write(b"question")
        client[1].write_eof()
        assert await end_of(node[0]) == b"question"

        node[1].write(b"answer")
        node[1].write_eof()

        assert await end_of(client[0]) == b"answer"
        await _no_connection_left(rig)


async def test_the_node_may_close_first_and_still_hear(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        node[1].write_eof()
        assert await end_of(client[0]) == b""

        client[1].write(b"still here")
        client[1].write_eof()

        assert await end_of(node[0]) == b"still here"


async def test_a_reset_is_passed_on_as_a_reset(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        client[1].write(b"x")
        await read_exactly(node[0], 1)
        _reset(client[1])

        assert await end_of(node[0]) is ConnectionResetError
        await _no_connection_left(rig)


async def test_a_node_that_is_down_looks_refused_not_closed(relay: RelayProcess) -> None:
    """The relay has accepted already: a reset is the nearest thing to a refusal, an end of stream would be a lie."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        control = await RelayControl.connect(relay.address)
        link = link_name()
        addresses = await control.add_links([spec(link, unused.getsockname())])
        try:
            reader, writer = await asyncio.open_connection(*addresses[link])
        except ConnectionResetError:
            seen: object = ConnectionResetError  # it came before asyncio had looked at the new connection
        else:
            seen = await end_of(reader)
            writer.close()
        await control.close()

    assert seen is ConnectionResetError


async def test_a_thousand_connections_come_and_go(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        for _ in range(20):
            pairs = await asyncio.gather(*(rig.pair() for _ in range(50)))
            for client, _ in pairs:
                client[1].write(b"m")
                client[1].write_eof()
            assert await asyncio.gather(*(end_of(node[0]) for _, node in pairs)) == [b"m"] * 50
            for _, node in pairs:
                node[1].close()
        await _no_connection_left(rig)
        counts = (await rig.control.live())[rig.link]

    assert (counts.upstream_bytes, counts.downstream_bytes) == (1000, 0)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def _no_connection_left(rig: Rig) -> None:
    async def none() -> bool:
        return (await rig.control.live())[rig.link].open_connections == 0

    await until(none, "no connection left in the relay")
