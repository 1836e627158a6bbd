"""A node: any of them serves any client, by asking a majority (ABD, with several writers).

A read takes the newest version that a majority has, and makes sure that a majority has it before it answers; else a later
read could find less (Attiya, Bar-Noy, Dolev 1995). A write first asks a majority for the newest version, and takes a higher one
(Lynch, Shvartsman 1997).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame
from reference_systems.kit.rpc import Rpc
from reference_systems.kit.storage import RecordLog
from reference_systems.quorum_store.replica import Replica, Version, Versioned

__all__ = ["CLIENT_CLASSES", "PEER_CLASSES", "QUERY", "REQUEST", "RESPONSE", "STORE", "NoQuorum", "QuorumNode", "main"]

REQUEST, RESPONSE = 1, 2
QUERY, VALUE, STORE, STORED = 1, 2, 3, 4
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response"})
PEER_CLASSES = MappingProxyType({QUERY: "query", VALUE: "value", STORE: "store", STORED: "stored"})


class NoQuorum(Exception):
    """No majority answered in time."""


async def main(env: Env) -> None:
    """Recover, listen, serve for ever. Any error of the disk ends the node."""
    await QuorumNode(env, Replica(*await RecordLog.open(env.disk, "log"))).run()


class QuorumNode:
    """One node: a replica, and a coordinator of its clients' operations."""

    def __init__(self, env: Env, replica: Replica) -> None:
        self._env = env
        self._replica = replica
        self._rpc = Rpc(env, classes={QUERY: VALUE, STORE: STORED}, answer=self._on_question)

    async def run(self) -> None:
        """Serve until the process dies."""
        await self._rpc.start()
        await self._env.network.listen("client", self._serve_client)
        await asyncio.get_running_loop().create_future()

    # -- registers -------------------------------------------------------------------------------

    async def get(self, key: str, operations: tuple[int, ...]) -> dict[str, Any]:
        """The newest value that a majority has; when this returns a majority has it."""
        try:
            found = await self.query(key, operations)
            newest = max(found, key=lambda one: one.version)
            if any(one.version != newest.version for one in found):
                await self.write_back(key, newest, operations)
        except NoQuorum as error:
            return self.no_value(error)
        return {"status": "ok", "value": newest.value}

    async def put(self, key: str, value: Any, operations: tuple[int, ...]) -> dict[str, Any]:
        """Write with a version above all that a majority has."""
        try:
            version = await self.next_version(key, operations)
        except NoQuorum as error:
            return {"status": "failed", "reason": str(error)}
        try:
            await self.store(key, Versioned(version=version, value=value), operations)
        except NoQuorum as error:
            return self.half_written(error)
        return {"status": "ok", "value": None}

    async def next_version(self, key: str, operations: tuple[int, ...]) -> Version:
        """Above all that a majority has, and nobody else's."""
        number = max(one.version[0] for one in await self.query(key, operations)) + 1
        return number, self._env.name, self._env.random.getrandbits(32)

    async def query(self, key: str, operations: tuple[int, ...]) -> list[Versioned]:
        """What a majority has."""
        answers = await self.gather(QUERY, [key], self.read_quorum, operations)
        return [Versioned.of(answer) for answer in answers]

    async def store(self, key: str, new: Versioned, operations: tuple[int, ...]) -> None:
        """Until a majority has it."""
        await self.gather(STORE, [key, new.as_plain()], self.write_quorum, operations)

    async def write_back(self, key: str, newest: Versioned, operations: tuple[int, ...]) -> None:
        """What was read is stored before it is answered."""
        await self.store(key, newest, operations)

    def half_written(self, error: NoQuorum) -> dict[str, Any]:
        """The answer to a put that some replica may have: it may be seen later, or never."""
        return {"status": "unknown", "reason": str(error)}

    def no_value(self, error: NoQuorum) -> dict[str, Any]:
        """The answer to a get that found no majority: nothing is not "no value"."""
        return {"status": "failed", "reason": str(error)}

    # -- majorities ------------------------------------------------------------------------------

    @property
    def read_quorum(self) -> int:
        """How many must answer a query."""
        return len(self._env.nodes) // 2 + 1

    @property
    def write_quorum(self) -> int:
        """How many must have stored."""
        return len(self._env.nodes) // 2 + 1

    @property
    def patience_s(self) -> float:
        """How long answers are waited for."""
        return 0.3

    async def gather(self, kind: int, question: Sequence[Any], enough: int, operations: tuple[int, ...]) -> list[Any]:
        """The first answers of so many nodes; all are asked at once, and asking goes on when enough have answered.

        Raises:
            NoQuorum: Too few came in time.
        """
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        for node in self._env.nodes:
            self._env.spawn(self._hand_in(arrived, node, kind, question, operations))
        found: list[Any] = []
        for _ in self._env.nodes:
            if (answer := await arrived.get()) is not None:
                found.append(answer)
            if len(found) == enough:
                return found
        raise self.too_few(len(found), enough)

    async def _hand_in(
        self, arrived: asyncio.Queue[Any], node: str, kind: int, question: Sequence[Any], operations: tuple[int, ...]
    ) -> None:
        arrived.put_nowait(await self.one(node, kind, question, operations))

    def too_few(self, answered: int, enough: int) -> NoQuorum:
        """What `gather` raises."""
        return NoQuorum(f"{answered} of {enough} nodes answered within {self.patience_s:g} s")

    async def one(self, node: str, kind: int, question: Sequence[Any], operations: tuple[int, ...]) -> Any:
        """One node's answer; None: it did not in time."""
        if node == self._env.name:
            return await self._on_question(node, kind, question, operations)
        try:
            return await self._rpc.ask(node, kind, question, patience_s=self.patience_s, operations=operations)
        except (OSError, TimeoutError):
            return None

    async def _on_question(self, peer: str, kind: int, question: Any, operations: tuple[int, ...]) -> Any:
        if kind == STORE:
            key, plain = question
            await self._replica.offer(key, Versioned.of(plain))
            return True
        (key,) = question
        return self._replica.newest(key).as_plain()

    # -- clients ---------------------------------------------------------------------------------

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            try:
                asked = json.loads(frame.body)
                f, key, value = str(asked["f"]), str(asked["key"]), asked.get("value")
            except (ValueError, LookupError, TypeError, AttributeError):
                return  # garbage: the connection cannot be trusted any further
            if f == "get":
                answer = await self.get(key, frame.operations)
            elif f == "put":
                answer = await self.put(key, value, frame.operations)
            else:
                answer = {"status": "failed", "reason": f"f={f!r} is not known; allowed: get, put"}
            body = json.dumps(answer).encode()
            connection.send(Frame(kind=RESPONSE, operations=frame.operations, sender=self._env.index, body=body))
