"""A listening port of a simulated node, as asyncio's Server shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.runtimes.sim.node import SimNode
from pytest_coordchaos.runtimes.sim.sockets import SimSocket

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.network import Network

__all__ = ["SimServer"]


class SimServer(asyncio.AbstractServer):
    """What `create_server` returns.

    Attributes:
        owner: The node that listens.
        factory: Makes the protocol of each connection.
        context: Where connections are accepted.
        open_ends: Ends of connections that were accepted and are not closed.
    """

    def __init__(
        self,
        network: Network,
        owner: SimNode | None,
        addresses: list[tuple[str, int]],
        factory: Callable[[], Any],
        context: Context,
    ) -> None:
        self.network = network
        self.owner = owner
        self.addresses = addresses
        self.factory = factory
        self.context = context
        self.serving = False
        self.open_ends: dict[Any, None] = {}
        self._closed: asyncio.Future[None] | None = None
        self._forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> tuple[SimSocket, ...]:
        """asyncio: stubs that know their addresses; () when it is closed."""
        return tuple(SimSocket(name=address) for address in self.addresses) if self.serving else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """asyncio: the loop."""
        return self.network.loop

    def is_serving(self) -> bool:
        """asyncio: it accepts connections."""
        return self.serving

    async def start_serving(self) -> None:
        """asyncio: accept connections from now on."""
        self.network.listen(self)

    async def serve_forever(self) -> None:
        """asyncio: until cancelled."""
        self.network.listen(self)
        self._forever = asyncio.get_running_loop().create_future()
        try:
            await self._forever
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """asyncio: accept no more; what is open stays open."""
        if self.serving:
            self.network.unlisten(self)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()

    def close_clients(self) -> None:
        """asyncio: close what is open."""
        for end in list(self.open_ends):
            end.close()

    def abort_clients(self) -> None:
        """asyncio: end what is open."""
        for end in list(self.open_ends):
            end.abort()

    async def wait_closed(self) -> None:
        """asyncio: until it is closed and, since 3.12, every connection has ended."""
        while self.serving or self.open_ends:
            self._closed = self._closed or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._closed)

    def ended(self, end: Any) -> None:
        """One of its connections has ended."""
        self.open_ends.pop(end, None)
        self.notify()

    def notify(self) -> None:
        """Let `wait_closed` look again."""
        waiter, self._closed = self._closed, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
