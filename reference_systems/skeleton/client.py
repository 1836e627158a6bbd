"""The client: puts at the first node, gets at the last, and is honest about what it does not know."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.frames import Frame, FrameDecoder, encode
from reference_systems.skeleton.node import REQUEST

__all__ = ["ChainClient", "client"]

_READ_BYTES = 65536


class ChainClient:
    """One logical client: one call at a time.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._streams: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def call(self, call: Call) -> Any:
        """Perform one operation: the value of a get, None for a put.

        Raises:
            Failed: It surely did not happen.
            ConnectionError: Nobody knows.
        """
        node = self._cluster.nodes[-1 if call.f == "get" else 0]
        try:
            if node not in self._streams:
                self._streams[node] = await self._cluster.open_connection(node, "client")
        except OSError as error:
            raise Failed(f"{node} cannot be reached: {error}") from error
        answer = await self._ask(node, call)
        if answer["status"] == "refused" or (call.f == "get" and answer["status"] != "ok"):
            raise Failed(answer["reason"])
        if answer["status"] != "ok":
            raise ConnectionError(f"nobody knows whether the {call.f} happened")
        return answer.get("value")

    async def _ask(self, node: str, call: Call) -> dict[str, Any]:
        """The node's answer; "unknown" when there is none."""
        reader, writer = self._streams[node]
        body = {"f": call.f, "key": call.key, "value": call.value}
        writer.write(encode(Frame(kind=REQUEST, operations=(call.id,), body=json.dumps(body).encode())))
        decoder = FrameDecoder()
        try:
            while data := await reader.read(_READ_BYTES):
                for frame in decoder.feed(data):
                    if frame.operations == (call.id,):
                        answer: dict[str, Any] = json.loads(frame.body)
                        return answer
        except (OSError, ValueError):
            pass
        self.close()
        return {"status": "unknown", "reason": f"{node} did not answer"}

    def close(self) -> None:
        """End the connections; the next call makes others. Idempotent."""
        for _, writer in self._streams.values():
            writer.transport.abort()
        self._streams = {}


async def _connect(cluster: Any, node: str) -> ChainClient:
    return ChainClient(cluster)


async def _call(connection: ChainClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: ChainClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get and put; keys are strings."""
