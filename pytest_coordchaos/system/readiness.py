"""When a node counts as started: named conditions as data, and the probe that asks them.

Probes reach a node's real address, never a link, so that asking costs nothing on the ledger and
works while links are cut.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pytest_coordchaos.errors import UsageError

__all__ = [
    "NoSuchPort",
    "NodeProbe",
    "Ready",
    "check_ready",
    "ready_healthy",
    "ready_http",
    "ready_log",
    "ready_port",
    "ready_when",
]


class NoSuchPort(UsageError):
    """A probe asked for a port that the node does not have; another node of the system may.

    Args:
        port: The port's name.
    """

    def __init__(self, message: str, port: str) -> None:
        super().__init__(message)
        self.port = port


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProbe:
    """What a probe may use of one node.

    Args:
        name: The node's name.
        addresses: Port name -> (host, port) where the node itself listens.
        source_host: Local address to dial from; marks the connection as ours, not a bypass.
        read_log: Returns the node's log so far.
        connect: Connects to an address of the node's network; None: it is reached from here.
        ask_health: Asks the runtime what the container's health check says; None: the runtime knows of none.
    """

    name: str
    addresses: Mapping[str, tuple[str, int]]
    source_host: str | None = None
    read_log: Callable[[], str] = field(default=lambda: "")
    connect: Callable[[tuple[str, int]], Awaitable[socket.socket]] | None = None
    ask_health: Callable[[], Awaitable[str]] | None = None

    async def open(self, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the node's own port (not through a link)."""
        if port not in self.addresses:
            raise NoSuchPort(f"Node {self.name} has no port {port!r}; it has: {', '.join(self.addresses) or 'none'}", port)
        host, number = self.addresses[port]
        if self.connect is not None:
            return await asyncio.open_connection(sock=await self.connect((host, number)))
        local = (self.source_host, 0) if self.source_host else None
        return await asyncio.open_connection(host, number, local_addr=local)

    async def http_get(self, port: str, path: str) -> tuple[int, bytes]:
        """GET over HTTP/1.1; returns status and body. Raises OSError or ValueError when it is no HTTP."""
        reader, writer = await self.open(port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A named condition. `name` appears in messages ("waiting for 'port client accepts' of n2")."""

    name: str
    check: Callable[[NodeProbe], Awaitable[bool]]
    dials: str = ""
    """The port to which it connects, if it does nothing else."""


def check_ready(ready: object, where: str) -> None:
    """UsageError where something else is given as a condition."""
    if ready is not None and not isinstance(ready, Ready):
        allowed = "ready_port(…), ready_http(…), ready_log(…), ready_when(…)"
        raise UsageError(f"{where}: ready={ready!r} is not allowed; {allowed}")


def ready_port(port: str) -> Ready:
    """Ready when the port accepts a TCP connection. A UDP port accepts none: use `ready_log` or `ready_when`."""

    async def check(probe: NodeProbe) -> bool:
        _, writer = await probe.open(port)
        writer.close()
        return True

    return Ready(name=f"port {port} accepts", check=check, dials=port)


def ready_healthy(*ports: str) -> Ready:
    """Ready when the container's health check says so (where it has one), and these ports accept."""

    async def check(probe: NodeProbe) -> bool:
        health = await probe.ask_health() if probe.ask_health is not None else ""
        if health not in ("", "none", "healthy"):
            raise ValueError(f"its health check says {health}")
        for port in ports:
            _, writer = await probe.open(port)
            writer.close()
        return True

    return Ready(name=" and ".join(["is healthy", *(f"port {port} accepts" for port in ports)]), check=check)


def ready_http(port: str, path: str, *, status: int = 200) -> Ready:
    """Ready when GET path answers with the status."""

    async def check(probe: NodeProbe) -> bool:
        return (await probe.http_get(port, path))[0] == status

    return Ready(name=f"GET {path} on port {port} answers {status}", check=check)


def ready_log(pattern: str) -> Ready:
    """Ready when a line of the node's log matches the regular expression."""
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise UsageError(f"ready_log({pattern!r}) is no regular expression: {error}") from None

    async def check(probe: NodeProbe) -> bool:
        return compiled.search(probe.read_log()) is not None

    return Ready(name=f"log matches {pattern!r}", check=check)


def ready_when(name: str, check: Callable[[NodeProbe], Awaitable[bool]]) -> Ready:
    """Ready when your own coroutine says so; an OSError or ValueError in it means not yet."""
    return Ready(name=name, check=check)
