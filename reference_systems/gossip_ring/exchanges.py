"""Questions on connections: one connection for each, asked, answered, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame

__all__ = ["Exchanges"]

PORT = "peer"


class Exchanges:
    """Asks peers, and answers them.

    Args:
        env: The node's world.
        answer: Told of peer and question, and how to answer, now or later; False: it makes no sense, and
            the connection is closed.
    """

    def __init__(self, env: Env, answer: Callable[[str, Frame, Callable[[Frame], object]], bool]) -> None:
        self._env = env
        self._answer = answer

    async def listen(self) -> None:
        """Answer from now on."""
        await self._env.network.listen(PORT, self._serve)

    async def ask(self, peer: str, question: Frame, timeout_s: float) -> Frame | None:
        """The peer's answer; None: none came in time, whatever the reason."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._env.network.connect(peer, PORT)
                connection.send(question)
                return await connection.receive()
        except (OSError, TimeoutError):
            return None
        finally:
            if connection is not None:
                connection.close()

    async def _serve(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            known = 1 <= frame.sender <= len(self._env.nodes) and frame.sender != self._env.index
            if not known or not self._answer(self._env.nodes[frame.sender - 1], frame, connection.send):
                return
