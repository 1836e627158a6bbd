"""One connection of a client to one node: a request, then its answer. For the clients of the reference systems."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from reference_systems.kit.frames import Frame, FrameDecoder, encode

__all__ = ["Asking", "ask_probed"]

_READ_BYTES = 65536
_STATUS_TIMEOUT_S = 1.0


class Asking:
    """Asks one question at a time, in JSON.

    Args:
        node: Whom, for error texts.
        reader, writer: The open connection.
    """

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    async def ask(self, kind: int, answered_by: int, *, operation: int = 0, body: object = None) -> dict[str, Any]:
        """Send a frame of class `kind` and wait for the answer of class `answered_by` that carries its operation id.

        Raises:
            OSError: The connection broke before the answer came.
            ValueError: The answer is no JSON, or no frame.
        """
        operations = (operation,) if operation else ()
        text = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        self._writer.write(encode(Frame(kind=kind, operations=operations, body=text)))
        while True:
            for frame in self._frames:
                if frame.kind == answered_by and frame.operations == operations:
                    self._frames = []
                    answer: dict[str, Any] = json.loads(frame.body)
                    return answer
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError(f"{self.node} closed the connection before it answered")
            self._frames = self._decoder.feed(data)

    def close(self) -> None:
        """End it now."""
        self._writer.transport.abort()


async def ask_probed(probe: Any, kind: int, answered_by: int) -> dict[str, Any]:
    """What the node of a probe (`NodeProbe`) answers on its client port to a frame of class `kind`, within a second.

    Raises:
        OSError: It does not answer.
        ValueError: It answers nonsense.
    """
    async with asyncio.timeout(_STATUS_TIMEOUT_S):
        asking = Asking(probe.name, *await probe.open("client"))
        try:
            return await asking.ask(kind, answered_by)
        finally:
            asking.close()
