"""Connections to nodes for who cannot reach them: CONNECT on the control API of a relay that runs as a container."""

from __future__ import annotations

import asyncio
import hmac
import socket
from functools import partial
from typing import cast

from pytest_coordchaos.relay.http import Handler, HttpError, Request, Response
from pytest_coordchaos.runtimes.doors import Doors, dial_through
from pytest_coordchaos.runtimes.far_dial import DOOR_HEADER, TOKEN_HEADER

__all__ = ["guarded", "tunnels"]


def guarded(handler: Handler, token: str) -> Handler:
    """The same API for those who know the token; all others get status 403."""

    async def handle(request: Request) -> Response:
        given = request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HttpError(403, f"this relay belongs to somebody: {TOKEN_HEADER} is missing or wrong")
        return await handler(request)

    return handle


def tunnels(doors: Doors, handler: Handler) -> Handler:
    """An API with `CONNECT host:port` added: dials from the door that a header names, then passes bytes both ways.

    What crosses is in no ledger. Status 502 says why the node could not be reached.
    """

    async def handle(request: Request) -> Response:
        return await (_connect(doors, request) if request.method == "CONNECT" else handler(request))

    return handle


async def _connect(doors: Doors, request: Request) -> Response:
    host, _, port = request.path.rpartition(":")
    if not host or not port.isdecimal():
        raise HttpError(400, f"CONNECT takes host:port, not {request.path!r}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        fresh = await doors.fresh(request.headers.get(DOOR_HEADER, ""), family)
        sock = await dial_through(fresh, "", (host.strip("[]"), int(port)))
        _, far = await asyncio.get_running_loop().create_connection(_End, sock=sock)
    except OSError as error:
        raise HttpError(502, error.strerror or str(error)) from None
    return Response(200, takeover=partial(_join, far))


def _join(far: _End, transport: asyncio.Transport | None) -> None:
    if transport is None:
        far.transport.close()
        return
    transport.writelines(far.early)
    if far.transport.is_closing():
        transport.close()
        return
    near = _End()
    transport.set_protocol(near)
    near.transport, near.peer, far.peer = transport, far, near
    if far.ended:
        transport.write_eof()
    else:
        far.transport.resume_reading()


class _End(asyncio.Protocol):
    """One side of a tunnel.

    Attributes:
        early: What the node said before there was a peer.
        ended: It says no more.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.peer: _End | None = None
        self.early: list[bytes] = []
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The node is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.peer is not None:
            self.peer.transport.write(data)
        else:  # uvloop does read once, although it was told to pause
            self.early.append(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Pass it on; the other way stays open until it ends too."""
        self.ended = True
        if self.peer is None:
            return True
        if self.peer.ended:
            return False
        if not self.peer.transport.is_closing():
            self.peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """The other side is to read no more for now."""
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """The other side may read again."""
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side ends too: by a reset, where this one did."""
        if self.peer is not None:
            (self.peer.transport.abort if exc is not None else self.peer.transport.close)()
