"""The moments in which the node's end of a connection is being made. In-process, so that each can be held still."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.server import Relay
from tests.relay.rig import DROP, REFUSE, Streams, end_of, link_name, nothing_came, read_exactly, spec, until


class Gate:
    """Holds every dial still once its handshake is over (the node has accepted), until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        dial = Connection._node_socket

        async def held(conn: Connection) -> socket.socket:
            sock = await dial(conn)
            await self.opened.wait()
            return sock

        monkeypatch.setattr(Connection, "_node_socket", held)


async def test_a_cut_that_begins_between_handshake_and_first_byte_loses_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake passed before the cut: the way back goes on, and nobody sees an end."""
    gate = Gate(monkeypatch)
    async with _linked() as (relay, link, accepted):
        client = await _dial(relay, link)
        node = await accepted.get()
        await relay.apply({link: (DROP, PASS)})
        gate.opened.set()
        node[1].write(b"back")

        assert await read_exactly(client[0], 4) == b"back"
        assert nothing_came(node[0])
        client[1].close()


async def test_a_refusal_that_begins_between_handshake_and_first_byte_resets_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    async with _linked() as (relay, link, accepted):
        client = await _dial(relay, link)
        node = await accepted.get()
        await relay.apply({link: (REFUSE, PASS)})
        gate.opened.set()

        assert await end_of(client[0]) is ConnectionResetError
        assert await end_of(node[0]) is ConnectionResetError


async def test_a_dial_that_gets_no_answer_is_given_up_when_a_cut_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its retransmitted SYN would walk through the cut."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [_nonblocking(full.getsockname()) for _ in range(3)]
        relay, link = Relay(seed="1", max_messages=1000), link_name()
        await relay.add_links([spec(link, full.getsockname())])
        client = await _dial(relay, link)

        async def dialling() -> bool:
            return [conn.dialling for conn in relay.links[link].connections] == [True]

        await until(dialling, "the relay dials")
        await relay.apply({link: (DROP, PASS)})
        assert [conn.dialling for conn in relay.links[link].connections if conn.probe is None] == [False]
        await relay.apply({link: (PASS, PASS)})
        assert await end_of(client[0]) is ConnectionResetError
        client[1].close()
        for sock in fillers:
            sock.close()
        await relay.close()


async def test_a_connection_of_the_relay_to_itself_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP lets a socket connect to its own port: a dead node's port would echo whatever is sent to it."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]

    class Unlucky(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]  # only this kind is used here
            super().bind((address[0], port if address == ("127.0.0.1", 0) else address[1]))

    relay, link = Relay(seed="1", max_messages=1000), link_name()
    unlucky_spec = spec(link, ("127.0.0.1", port))
    await relay.add_links([type(unlucky_spec).from_json({**unlucky_spec.to_json(), "upstream_source": "127.0.0.1"}, "spec")])
    monkeypatch.setattr("pytest_coordchaos.relay.connection.socket.socket", Unlucky)
    client = await _dial(relay, link)
    client[1].write(b"echo?")

    assert await end_of(client[0]) is ConnectionResetError
    client[1].close()
    await relay.close()


@asynccontextmanager
async def _linked() -> AsyncIterator[tuple[Relay, LinkId, asyncio.Queue[Streams]]]:
    accepted: asyncio.Queue[Streams] = asyncio.Queue()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))
        opened.append(writer)

    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    relay, link = Relay(seed="1", max_messages=1000), link_name()
    await relay.add_links([spec(link, server.sockets[0].getsockname())])
    try:
        yield relay, link, accepted
    finally:
        for writer in opened:
            writer.transport.abort()
        server.close()
        await relay.close()


async def _dial(relay: Relay, link: LinkId) -> Streams:
    return await asyncio.open_connection(*relay.links[link].address)


def _nonblocking(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(address)
    return sock
