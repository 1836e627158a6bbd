"""The client of generated workloads, and of anybody else who asks one node: f in lookup, members, events, ring, leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.gossip_ring.messages import REQUEST, RESPONSE
from reference_systems.kit.frames import Frame, FrameDecoder, encode

__all__ = ["GossipClient", "client"]

PORT = "client"
_READ_BYTES = 65536


class GossipClient:
    """One connection to one node: a request, then its answer."""

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self._reader = reader
        self._writer = writer

    async def call(self, call: Call) -> Any:
        """Ask once. A lookup gives {"owner", "hops"}; members: name -> [state, incarnation]; events and ring: see README.

        Raises:
            Failed: It was not done: the node said so, or it only asked and no answer came.
            ConnectionResetError, TimeoutError: Whether the node left, nobody knows.
        """
        try:
            answer = await self._ask(call.id, {"f": call.f, "key": call.key})
        except (OSError, ValueError) as error:
            if call.f != "leave":
                raise Failed(f"{self.node}: {error}") from error
            raise
        if answer["status"] != "ok":
            raise Failed(answer["reason"])
        return answer["value"]

    async def _ask(self, operation: int, body: dict[str, Any]) -> dict[str, Any]:
        operations = (operation,) if operation else ()
        text = json.dumps(body, separators=(",", ":")).encode()
        self._writer.write(encode(Frame(kind=REQUEST, operations=operations, body=text)))
        decoder = FrameDecoder()
        while data := await self._reader.read(_READ_BYTES):
            for frame in decoder.feed(data):
                if frame.kind == RESPONSE and frame.operations == operations:
                    answer: dict[str, Any] = json.loads(frame.body)
                    return answer
        raise ConnectionResetError(f"{self.node} closed the connection before it answered")

    def close(self) -> None:
        """End it now."""
        self._writer.transport.abort()


async def _connect(cluster: Any, node: str) -> GossipClient:
    return GossipClient(node, *await cluster.open_connection(node, PORT))


async def _call(connection: GossipClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: GossipClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads."""
