"""A node: asks the owner of a key, which keeps its window.

Each key has one owner, so that the limit is global and an idle cluster's whole limit is there for one busy node. The owner
counts on its monotonic clock; the window is longer than it must be by more than that clock's rate may be wrong.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from types import MappingProxyType
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame
from reference_systems.kit.rpc import NotSent, Rpc
from reference_systems.rate_limiter.limiter import SlidingWindow

__all__ = ["CLIENT_CLASSES", "MARGIN", "PEER_CLASSES", "REQUEST", "RESPONSE", "TAKE", "TAKEN", "LimiterNode", "main"]

REQUEST, RESPONSE = 1, 2
TAKE, TAKEN = 1, 2
CLIENT_CLASSES = MappingProxyType({REQUEST: "request", RESPONSE: "response"})
PEER_CLASSES = MappingProxyType({TAKE: "take", TAKEN: "taken"})
MARGIN = 0.01
"""The rates of two clocks differ by less than this share: the assumption under which the limit holds."""

_WINDOW_S = 1.0
_PATIENCE_S = 0.5


async def main(env: Env) -> None:
    """Listen, serve for ever."""
    await LimiterNode(env).run()


class LimiterNode:
    """One node; owner of some keys."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._rpc = Rpc(env, classes={TAKE: TAKEN}, answer=self._on_take)
        self._windows: dict[str, SlidingWindow] = {}
        self._begun_s = env.clock.now()

    async def run(self) -> None:
        """Serve until the process dies."""
        await self._rpc.start()
        await self._env.network.listen("client", self._serve_client)
        await asyncio.get_running_loop().create_future()

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            try:
                asked = json.loads(frame.body)
                key, limit = str(asked["key"]), int(asked["value"])
            except (ValueError, LookupError, TypeError):
                return  # garbage: the connection cannot be trusted any further
            answer = await self.acquire(key, limit, frame.operations)
            body = json.dumps(answer).encode()
            connection.send(Frame(kind=RESPONSE, operations=frame.operations, sender=self._env.index, body=body))

    async def acquire(self, key: str, limit: int, operations: tuple[int, ...]) -> dict[str, Any]:
        """Ask the key's owner."""
        owner, who = self.owner(key), f"{operations or self._env.random.getrandbits(52)}"
        if owner == self._env.name:
            return await self.take(who, key, limit)
        try:
            question = [who, key, limit]
            answer: dict[str, Any] = await self._rpc.ask(owner, TAKE, question, patience_s=_PATIENCE_S, operations=operations)
        except NotSent as error:
            return {"status": "unavailable", "reason": str(error)}
        except (OSError, TimeoutError):
            return {"status": "unknown", "reason": f"{owner} did not answer"}
        return answer

    async def _on_take(self, peer: str, kind: int, question: Any, operations: tuple[int, ...]) -> dict[str, Any]:
        return await self.take(*question)

    async def take(self, who: str, key: str, limit: int) -> dict[str, Any]:
        """The owner's answer. It does not know what an earlier life of it admitted, and waits until that is too old to count."""
        now_s, window_s = self.now_s(), _WINDOW_S * (1 + MARGIN)
        if now_s - self._begun_s < window_s:
            return {"status": "unavailable", "reason": "the owner started less than a window ago"}
        window = self._windows.setdefault(key, SlidingWindow(window_s))
        return {"status": "ok", "value": window.take(who, limit, now_s)}

    def owner(self, key: str) -> str:
        """The node that keeps the key's window."""
        return self._env.nodes[zlib.crc32(key.encode()) % len(self._env.nodes)]

    def now_s(self) -> float:
        """The clock that windows are kept by."""
        return self._env.clock.now()
