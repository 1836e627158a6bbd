"""The client: any node will do; it stays with its own, and is honest about what it does not know."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.frames import Frame, FrameDecoder, encode
from reference_systems.quorum_store.node import REQUEST

__all__ = ["client"]

_READ_BYTES = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(cluster: Any, node: str) -> Streams:
    streams: Streams = await cluster.open_connection(node, "client")
    return streams


async def _call(connection: Streams, call: Call) -> Any:
    try:
        answer = await _answer(connection, call)
    except OSError as error:
        if call.f == "get":
            raise Failed(f"a read without an answer has failed: {error}") from error
        raise
    if answer["status"] == "failed":
        raise Failed(answer["reason"])
    if answer["status"] != "ok":
        raise ConnectionError(answer["reason"])
    return answer["value"]


async def _answer(connection: Streams, call: Call) -> dict[str, Any]:
    reader, writer = connection
    body = json.dumps({"f": call.f, "key": call.key, "value": call.value}).encode()
    writer.write(encode(Frame(kind=REQUEST, operations=(call.id,), body=body)))
    decoder = FrameDecoder()
    while data := await reader.read(_READ_BYTES):
        for frame in decoder.feed(data):
            if frame.operations == (call.id,):
                answer: dict[str, Any] = json.loads(frame.body)
                return answer
    raise ConnectionResetError("the node closed the connection before it answered")


async def _close(connection: Streams) -> None:
    connection[1].transport.abort()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get and put; keys are strings."""
