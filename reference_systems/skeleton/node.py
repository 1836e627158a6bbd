"""A node: forces each write to its disk, passes it on to the next of the chain, and answers when the rest has it.

Writes enter at the first node, reads are answered by the last (van Renesse & Schneider, "Chain Replication", 2004;
without its reconfiguration: while a node is away nothing can be written, and nothing acknowledged is lost).
"""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame
from reference_systems.kit.storage import RecordLog

__all__ = ["CLIENT_CLASSES", "COPIED", "COPY", "PEER_CLASSES", "REQUEST", "RESPONSE", "ChainNode", "main"]

REQUEST, RESPONSE = 1, 2
COPY, COPIED = 1, 2
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response"})
PEER_CLASSES = MappingProxyType({COPY: "copy", COPIED: "copied"})
_PASS_ON_S = 0.5


async def main(env: Env) -> None:
    """Recover, listen, serve for ever. Any error of the disk ends the node."""
    await ChainNode(env, *await RecordLog.open(env.disk, "log")).run()


class ChainNode:
    """One link of the chain.

    Args:
        env: The node's world.
        log: Its log; a record is `[number, key, value]`, and numbers grow.
        records: What the log holds.
    """

    def __init__(self, env: Env, log: RecordLog, records: tuple[bytes, ...]) -> None:
        self._env = env
        self._log = log
        self._last = 0
        self._values: dict[str, Any] = {}
        for record in records:
            self._last, key, self._values[key] = json.loads(record)
        rest = env.nodes[env.index :]
        self._next = rest[0] if rest else None
        self._patience_s = _PASS_ON_S * len(rest)
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the process dies."""
        await self._env.network.listen("peer", self._serve_peer)
        await self._env.network.listen("client", self._serve_client)
        await asyncio.get_running_loop().create_future()

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            try:
                asked = json.loads(frame.body)
                f, key, value = str(asked["f"]), str(asked["key"]), asked.get("value")
            except (ValueError, LookupError, TypeError, AttributeError):
                return  # garbage: the connection cannot be trusted any further
            answer = await self._answer(f, key, value, frame.operations)
            self._send(connection, RESPONSE, frame.operations, answer)

    async def _serve_peer(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            number, key, value = json.loads(frame.body)
            async with self._turn:
                known = number <= self._last or await self.keep(number, key, value, frame.operations)
            if known:
                self._send(connection, COPIED, frame.operations, number)

    async def _answer(self, f: str, key: str, value: Any, operations: tuple[int, ...]) -> dict[str, Any]:
        if f == "get" and self._next is None:
            return {"status": "ok", "value": self._values.get(key)}
        if f != "put" or self._env.index != 1:
            return {"status": "refused", "reason": f"{self._env.name} does no {f}"}
        async with self._turn:
            done = await self.keep(self._last + 1, key, value, operations)
        return {"status": "ok" if done else "unknown"}

    async def keep(self, number: int, key: str, value: Any, operations: tuple[int, ...]) -> bool:
        """Keep a write here and in the rest of the chain; False: nobody knows whether the rest has it."""
        await self.store(number, key, value)
        return await self.pass_on(number, key, value, operations)

    async def store(self, number: int, key: str, value: Any) -> None:
        """Make it durable, then visible."""
        self._last = number
        self._log.append(json.dumps([number, key, value]).encode())
        await self.force()
        self._values[key] = value

    async def force(self) -> None:
        """What was appended is durable."""
        await self._log.sync()

    async def pass_on(self, number: int, key: str, value: Any, operations: tuple[int, ...]) -> bool:
        """Until the rest of the chain has it; True for the last node."""
        if self._next is None:
            return True
        try:
            async with asyncio.timeout(self._patience_s):
                if self._connection is None or self._connection.closed:
                    self._connection = await self._env.network.connect(self._next, "peer")
                self._send(self._connection, COPY, operations, [number, key, value])
                while (frame := await self._connection.receive()) is not None:
                    if json.loads(frame.body) == number:
                        return True
        except (OSError, TimeoutError):
            pass
        if self._connection is not None:
            self._connection.close()  # what may still come back on it is no answer to the next copy
        return False

    def _send(self, connection: Connection, kind: int, operations: tuple[int, ...], body: Any) -> None:
        connection.send(Frame(kind=kind, operations=operations, sender=self._env.index, body=json.dumps(body).encode()))
