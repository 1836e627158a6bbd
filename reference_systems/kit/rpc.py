"""Questions to peers and their answers, in JSON: one connection to each peer, answers matched by number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame

__all__ = ["PORT", "NotSent", "Rpc"]

PORT = "peer"

Answer = Callable[[str, int, Any, tuple[int, ...]], Awaitable[Any]]
"""(peer, class, question, operations) -> answer."""


class NotSent(OSError):
    """The question surely did not leave: the peer could not be reached."""


class Rpc:
    """Asks peers by name, and answers what they ask.

    Args:
        env: The node's world.
        classes: Class of a question -> class of its answer.
        answer: Answers questions; several at a time.
    """

    def __init__(self, env: Env, *, classes: Mapping[int, int], answer: Answer) -> None:
        self._env = env
        self._classes = classes
        self._answer = answer
        self._connections: dict[str, Connection] = {}
        self._dialling = {peer: asyncio.Lock() for peer in env.peers}
        self._waiting: dict[int, tuple[Connection, asyncio.Future[Any]]] = {}
        self._number = env.random.getrandbits(52)  # late questions of an earlier life are nobody's doubles

    async def start(self) -> None:
        """Listen."""
        await self._env.network.listen(PORT, self._serve)

    async def ask(self, peer: str, kind: int, question: Any, *, patience_s: float, operations: tuple[int, ...] = ()) -> Any:
        """The peer's answer.

        Raises:
            NotSent: It was not asked.
            OSError, TimeoutError: It was asked, and did not answer.
        """
        try:
            async with asyncio.timeout(patience_s):
                connection = await self._connection(peer)
        except (OSError, TimeoutError) as error:
            raise NotSent(f"{peer} cannot be reached: {str(error) or 'it did not answer'}") from error
        self._number += 1
        number, answered = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = (connection, answered)
        try:
            self._send(connection, kind, number, question, operations)
            async with asyncio.timeout(patience_s):
                return await answered
        except TimeoutError:
            connection.close()  # whatever swallows it: the next question takes a new one
            raise
        finally:
            del self._waiting[number]

    async def _connection(self, peer: str) -> Connection:
        async with self._dialling[peer]:
            known = self._connections.get(peer)
            if known is None or known.closed:
                known = self._connections[peer] = await self._env.network.connect(peer, PORT)
                self._env.spawn(self._read_answers(known))
            return known

    async def _read_answers(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            number, answer = json.loads(frame.body)
            _, answered = self._waiting.get(number, (connection, None))
            if answered is not None and not answered.done():
                answered.set_result(answer)
        for used, answered in list(self._waiting.values()):
            if used is connection and not answered.done():
                answered.set_exception(ConnectionResetError("the connection ended before the answer came"))

    async def _serve(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if frame.kind not in self._classes or not 1 <= frame.sender <= len(self._env.nodes):
                return
            self._env.spawn(self._respond(connection, frame))

    async def _respond(self, connection: Connection, frame: Frame) -> None:
        number, question = json.loads(frame.body)
        answer = await self._answer(self._env.nodes[frame.sender - 1], frame.kind, question, frame.operations)
        self._send(connection, self._classes[frame.kind], number, answer, frame.operations)

    def _send(self, connection: Connection, kind: int, number: int, body: Any, operations: tuple[int, ...]) -> None:
        text = json.dumps([number, body], separators=(",", ":")).encode()
        connection.send(Frame(kind=kind, operations=operations, sender=self._env.index, body=text))
