"""Connections between nodes: one outgoing per peer, kept up; answers go back the way the question came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame, FrameError

__all__ = ["PORT", "Peers"]

PORT = "peer"
_SHORTEST_BACKOFF_S = 0.02
_LONGEST_BACKOFF_S = 0.2
_CONNECT_TIMEOUT_S = 1.0

M = TypeVar("M")


@dataclass(slots=True, kw_only=True)
class _Link:
    """The outgoing connection to one peer."""

    connection: Connection | None = None
    unanswered_since: float | None = None
    backoff_s: float = _SHORTEST_BACKOFF_S


class Peers(Generic[M]):
    """Sends frames to peers by name and hands over what they send.

    Nothing here is reliable: a frame to a peer without a connection is dropped, and the protocol says it again.

    Args:
        env: The node's world.
        answers: Classes of frames that answer another; all others ask.
        unanswered_s: A connection on which an answer to `send(…, awaited=True)` did not come for so long is dead: it is replaced.
        read: A frame as a message. It may raise FrameError: the connection is closed.
        receive: Called with (peer, message).
        connected: Called with the peer's name when a new outgoing connection stands.
    """

    def __init__(
        self,
        env: Env,
        *,
        answers: Set[int],
        unanswered_s: float,
        read: Callable[[Frame], M],
        receive: Callable[[str, M], None],
        connected: Callable[[str], None],
    ) -> None:
        self._env = env
        self._answers = answers
        self._unanswered_s = unanswered_s
        self._read = read
        self._receive = receive
        self._connected = connected
        self._links = {peer: _Link() for peer in env.peers}
        self._incoming: dict[str, Connection] = {}

    async def start(self) -> None:
        """Listen, and keep dialling every peer."""
        await self._env.network.listen(PORT, self._serve)
        for peer, link in self._links.items():
            self._env.spawn(self._keep_up(peer, link))

    def send(self, peer: str, frame: Frame, *, awaited: bool = True) -> None:
        """Send if there is a connection; `awaited`: the peer always answers."""
        if frame.kind in self._answers:
            incoming = self._incoming.get(peer)
            if incoming is not None:
                incoming.send(frame)
            return
        link, now = self._links[peer], self._env.clock.now()
        if link.connection is None:
            return
        if link.unanswered_since is not None and now - link.unanswered_since > self._unanswered_s:
            link.connection.close()
        elif link.unanswered_since is None and awaited:
            link.unanswered_since = now
        link.connection.send(frame)

    async def _keep_up(self, peer: str, link: _Link) -> None:
        while True:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    link.connection = await self._env.network.connect(peer, PORT)
            except (OSError, TimeoutError):
                pass
            else:
                link.unanswered_since = None
                self._connected(peer)
                await self._read_answers(peer, link, link.connection)
                link.connection = None
            await self._env.clock.sleep(link.backoff_s * self._env.random.uniform(0.5, 1.0))
            link.backoff_s = min(2 * link.backoff_s, _LONGEST_BACKOFF_S)

    async def _read_answers(self, peer: str, link: _Link, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            link.unanswered_since, link.backoff_s = None, _SHORTEST_BACKOFF_S
            if not self._hand_over(peer, frame):
                break
        connection.close()

    async def _serve(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if not 1 <= frame.sender <= len(self._env.nodes) or frame.sender == self._env.index:
                return
            peer = self._env.nodes[frame.sender - 1]
            self._incoming[peer] = connection
            if not self._hand_over(peer, frame):
                return

    def _hand_over(self, peer: str, frame: Frame) -> bool:
        try:
            message = self._read(frame)
        except FrameError:
            return False  # garbage: the connection cannot be trusted any further
        self._receive(peer, message)
        return True
