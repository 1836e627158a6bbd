"""The real network behind `env.network`: asyncio Protocols that speak frames, addresses from `node.json`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from reference_systems.kit.datagrams import FrameDatagrams
from reference_systems.kit.env import DatagramHandler, Handler
from reference_systems.kit.frames import Frame, FrameDecoder, FrameError, encode

__all__ = ["MAX_UNSENT_BYTES", "FrameConnection", "RealNetwork"]

MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""A receiver that leaves more than this unread is cut off (a single longer frame may exceed it)."""

_MAX_INBOX_FRAMES = 1024
_LISTEN_BACKLOG = 512

Address = tuple[str, int]


class FrameConnection(asyncio.Protocol):
    """One TCP connection as frames. Frames sent in one turn of the loop leave in one write."""

    def __init__(self, on_open: Callable[[FrameConnection], None] | None = None) -> None:
        self._on_open = on_open
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder()
        self._inbox: deque[Frame] = deque()
        self._outbox: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        if self._on_open:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came. Garbage ends the connection; a full inbox stops reading (back-pressure)."""
        try:
            self._inbox.extend(self._decoder.feed(data))
        except FrameError:
            self.close()
        if len(self._inbox) > _MAX_INBOX_FRAMES and not self._paused and self._transport and not self._ended:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it ended."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def closed(self) -> bool:
        """Nothing sent from now on can arrive."""
        return self._ended or self._transport is None or self._transport.is_closing()

    def send(self, frame: Frame) -> bool:
        """Queue without waiting; False when the connection is closed."""
        if self.closed:
            return False
        self._outbox.append(encode(frame))
        if len(self._outbox) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        return True

    def _flush(self) -> None:
        data, self._outbox = b"".join(self._outbox), []
        if self.closed or self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.close()
        else:
            self._transport.write(data)

    async def receive(self) -> Frame | None:
        """The next frame; None once the connection has ended and all that came before was taken."""
        while not self._inbox:
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frame = self._inbox.popleft()
        if self._paused and not self._inbox and self._transport:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return frame

    def close(self) -> None:
        """End it now. Idempotent."""
        if not self._ended:
            self._ended = True
            if self._transport:
                self._transport.abort()
            self._wake()


class RealNetwork:
    """Listens on this node's bound addresses and dials peers through the links that `node.json` names."""

    def __init__(
        self,
        read_again: Callable[[], Mapping[str, Any]],
        *,
        bind: Mapping[str, Address],
        links: Mapping[str, Mapping[str, Address]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._read_again = read_again
        self._bind = bind
        self._links = links
        self._spawn = spawn
        self._servers: list[asyncio.Server] = []

    async def listen(self, port: str, handler: Handler) -> None:
        """Accept on the bound address of that port."""
        host, number = self._own(port)

        def opened(connection: FrameConnection) -> None:
            self._spawn(_serve(connection, handler))

        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: FrameConnection(opened), host, number, backlog=_LISTEN_BACKLOG, reuse_address=True
        )
        self._servers.append(server)

    async def connect(self, peer: str, port: str) -> FrameConnection:
        """Dial the peer through its link; `node.json` is read again when the peer is unknown."""
        address = self._link(peer, port)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(FrameConnection, *address)
        return connection

    async def open_datagrams(self, port: str, handler: DatagramHandler) -> FrameDatagrams:
        """Take datagrams on the bound address of that port, and send from it to peers' links."""
        loop = asyncio.get_running_loop()
        _, datagrams = await loop.create_datagram_endpoint(
            lambda: FrameDatagrams(handler, lambda peer: self._link(peer, port)), local_addr=self._own(port)
        )
        return datagrams

    def _own(self, port: str) -> Address:
        if port not in self._bind:
            raise ValueError(f"port {port!r} has no address in node.json; it has: {', '.join(sorted(self._bind))}")
        return self._bind[port]

    def _link(self, peer: str, port: str) -> Address:
        if port not in self._links.get(peer, {}):
            self._links = read_links(self._read_again())
        address = self._links.get(peer, {}).get(port)
        if address is None:
            raise ConnectionRefusedError(f"no link to port {port!r} of {peer!r} is known")
        return address

    def close(self) -> None:
        """Stop listening. A node never does; whoever embeds one may."""
        for server in self._servers:
            server.close()


async def _serve(connection: FrameConnection, handler: Handler) -> None:
    try:
        await handler(connection)
    finally:
        connection.close()


def read_links(document: Mapping[str, Any]) -> dict[str, dict[str, Address]]:
    """The `links` of a node.json document, as addresses."""
    return {peer: read_addresses(ports) for peer, ports in document.get("links", {}).items()}


def read_addresses(ports: Mapping[str, Any]) -> dict[str, Address]:
    """Port name -> address."""
    return {port: (str(host), int(number)) for port, (host, number) in ports.items()}
