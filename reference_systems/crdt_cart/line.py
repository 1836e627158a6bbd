"""The connection to one neighbour: an interval out, its acknowledgement back, one at a time."""

from __future__ import annotations

import asyncio

from reference_systems.crdt_cart.messages import Ack, Interval
from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import FrameError

__all__ = ["PORT", "Line"]

PORT = "peer"


class Line:
    """Made when needed, given up when a question stays unanswered.

    Args:
        env: The node's world.
        peer: The neighbour.
        answer_s: How long to wait for it, connecting included.
    """

    def __init__(self, env: Env, peer: str, answer_s: float) -> None:
        self._env = env
        self._peer = peer
        self._answer_s = answer_s
        self._connection: Connection | None = None

    async def ask(self, interval: Interval) -> Ack | None:
        """Its acknowledgement; None: nobody knows whether it arrived."""
        try:
            async with asyncio.timeout(self._answer_s):
                if self._connection is None:
                    self._connection = await self._env.network.connect(self._peer, PORT)
                self._connection.send(interval.frame(self._env.index))
                while (frame := await self._connection.receive()) is not None:
                    ack = Ack.of(frame)
                    if ack.question == interval.question:  # else it answers an earlier question, which was asked twice
                        return ack
        except (OSError, TimeoutError, FrameError):
            pass
        if self._connection:
            self._connection.close()
            self._connection = None
        return None
