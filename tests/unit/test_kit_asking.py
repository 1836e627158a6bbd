"""A client's questions to a node: which were never sent, which were lost, and that the next one gets a new connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reference_systems.kit.asking import Asking, NotAsked
from reference_systems.kit.frames import Frame, encode

ASK, ANSWER = 1, 2
SAYS = encode(Frame(kind=ANSWER, operations=(7,), body=b'{"status":"ok"}'))


class _Cluster:
    """What clients ask of a cluster. Each connection takes the next of `replies`; None: it answers never; b"": it hangs up."""

    nodes = ("n1", "n2", "n3")

    def __init__(self, replies: list[bytes | None]) -> None:
        self.replies = replies
        self.dialled: list[str] = []
        self.port = 0
        self.served: list[asyncio.Task[None] | None] = []

    async def open_connection(self, node: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert port == "client"
        self.dialled.append(node)
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served.append(asyncio.current_task())
        reply = self.replies.pop(0)
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000) and reply != b"":
                writer.write(reply or b"")
        writer.transport.abort()


@asynccontextmanager
async def _asking(*replies: bytes | None) -> AsyncIterator[tuple[_Cluster, Asking]]:
    cluster = _Cluster(list(replies))
    server = await asyncio.start_server(cluster.serve, "127.0.0.1", 0)
    cluster.port = server.sockets[0].getsockname()[1]
    asking = Asking(cluster, "n1")
    try:
        yield cluster, asking
    finally:
        asking.close()
        server.close()
        await asyncio.gather(*filter(None, cluster.served))


async def _ask(asking: Asking, timeout_s: float | None = None) -> dict[str, Any]:
    return await asking.ask(ASK, ANSWER, operation=7, body={"f": "get"}, timeout_s=timeout_s)


async def test_one_connection_serves_many_questions() -> None:
    async with _asking(SAYS) as (cluster, asking):
        assert [await _ask(asking) for _ in range(3)] == [{"status": "ok"}] * 3
        assert cluster.dialled == ["n1"]


async def test_a_connection_that_broke_loses_its_question_and_is_made_anew_for_the_next() -> None:
    async with _asking(b"", SAYS) as (cluster, asking):
        with pytest.raises(ConnectionResetError):
            await _ask(asking)
        assert await _ask(asking) == {"status": "ok"}
        assert cluster.dialled == ["n1", "n1"]


async def test_an_answer_that_does_not_come_in_time_is_lost_not_unasked() -> None:
    async with _asking(None) as (_, asking):
        with pytest.raises(TimeoutError):
            await _ask(asking, timeout_s=0.05)


async def test_who_cannot_be_reached_was_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _asking() as (cluster, asking):
        cluster.port = 1
        with pytest.raises(NotAsked, match="cannot be reached"):
            await _ask(asking)

        async def hangs(node: str, port: str) -> Any:
            await asyncio.sleep(3600)

        monkeypatch.setattr(cluster, "open_connection", hangs)
        with pytest.raises(NotAsked, match="TimeoutError"):
            await _ask(asking, timeout_s=0.01)


async def test_the_next_node_follows_and_after_the_last_comes_the_first() -> None:
    async with _asking(SAYS, SAYS) as (cluster, asking):
        await _ask(asking)
        for expected in ("n2", "n3", "n1"):
            asking.go_on()
            assert asking.node == expected
        await _ask(asking)
        assert cluster.dialled == ["n1", "n1"]
