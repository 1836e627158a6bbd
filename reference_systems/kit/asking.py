"""A client's questions to nodes: a request, then its answer. For the clients of the reference systems."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from reference_systems.kit.frames import Frame, FrameDecoder, encode

__all__ = ["Asking", "NotAsked", "ask_probed"]

_READ_BYTES = 65536
_STATUS_TIMEOUT_S = 1.0


class NotAsked(ConnectionError):
    """The node was not reached: what it was to be asked was never sent."""


class Asking:
    """Asks one node at a time one question at a time, in JSON. A connection that broke is made anew for the next question.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
        node: Whom, on its port `client`, until `go_to` says otherwise.
    """

    def __init__(self, cluster: Any, node: str) -> None:
        self.node = node
        self._cluster = cluster
        self._line: _Line | None = None

    async def connect(self) -> None:
        """Have a connection. OSError: none is to be had."""
        await self._connected()

    async def ask(
        self, kind: int, answered_by: int, *, operation: int = 0, body: object = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Send a frame of class `kind` and wait for the answer of class `answered_by` that carries its operation id.

        Raises:
            NotAsked: There is no connection, and within the timeout none was to be had.
            OSError: It broke before the answer came, or the time was over (TimeoutError).
            ValueError: The answer is no JSON, or no frame.
        """
        line: _Line | None = None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._connected()
                return await line.ask(kind, answered_by, operation, body)
        except BaseException as error:
            self.close()
            if line is None and isinstance(error, OSError):
                raise NotAsked(f"cannot be reached: {str(error) or type(error).__name__}") from error
            raise

    async def _connected(self) -> _Line:
        if self._line is None:
            self._line = _Line(*await self._cluster.open_connection(self.node, "client"))
        return self._line

    def go_to(self, node: str) -> None:
        """Whom to ask from now on."""
        if node != self.node:
            self.close()
            self.node = node

    def go_on(self) -> None:
        """From now on, the cluster's next node."""
        nodes: list[str] = list(self._cluster.nodes)
        self.go_to(nodes[(nodes.index(self.node) + 1) % len(nodes)])

    def close(self) -> None:
        """End the connection. Idempotent."""
        if self._line is not None:
            self._line.close()
            self._line = None


class _Line:
    """One connection to a node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    async def ask(self, kind: int, answered_by: int, operation: int, body: object) -> dict[str, Any]:
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
                raise ConnectionResetError("closed the connection before it answered")
            self._frames = self._decoder.feed(data)

    def close(self) -> None:
        self._writer.transport.abort()


async def ask_probed(probe: Any, kind: int, answered_by: int) -> dict[str, Any]:
    """What the node of a probe (`NodeProbe`) answers on its client port to a frame of class `kind`, within a second.

    Raises:
        OSError: It does not answer.
        ValueError: It answers nonsense.
    """
    async with asyncio.timeout(_STATUS_TIMEOUT_S):
        line = _Line(*await probe.open("client"))
        try:
            return await line.ask(kind, answered_by, 0, None)
        finally:
            line.close()
