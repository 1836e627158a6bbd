"""Socket stubs: what programs hold where asyncio would give them a socket. They know addresses and forget options.

`socket.socket(...)` in a simulated program makes one too: it can be bound, and connected or listened on through the
loop; anything that would block, or reach the real network, raises.
"""

from __future__ import annotations

import socket
from typing import Any

from pytest_coordchaos.errors import CapabilityError

__all__ = ["SimSocket"]

Address = tuple[str, int]


class SimSocket:
    """A socket without a kernel behind it.

    Attributes:
        end: The connection made by `loop.sock_connect`.
    """

    def __init__(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        fileno: int | None = None,
        *,
        name: Address = ("0.0.0.0", 0),
        peer: Address | None = None,
    ) -> None:
        if fileno is not None:
            raise CapabilityError("socket(fileno=…) is not simulated: a simulated program has no file descriptors")
        self.family, self.type, self.proto = family, type, proto
        self.name, self.peer = name, peer
        self.end: Any = None
        self.closed = False

    def getsockname(self) -> Address:
        """Its own address."""
        return self.name

    def getpeername(self) -> Address:
        """The other end's address; OSError when there is none."""
        if self.peer is None:
            raise OSError(107, "Transport endpoint is not connected")
        return self.peer

    def bind(self, address: Any) -> None:
        """Choose its own address."""
        self.name = (str(address[0]), int(address[1]))

    def listen(self, backlog: int = 0) -> None:
        """Listening begins when the loop is given the socket."""

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def setsockopt(self, *arguments: Any) -> None:
        """Options are accepted and have no effect."""

    def getsockopt(self, *arguments: Any) -> int:
        """Options are all 0."""
        return 0

    def setblocking(self, flag: bool) -> None:
        """Simulated sockets never block."""

    def settimeout(self, value: float | None) -> None:
        """Simulated sockets never block."""

    def gettimeout(self) -> float:
        """0: non-blocking."""
        return 0.0

    def shutdown(self, how: int) -> None:
        """End of what is sent."""
        if self.end is not None:
            self.end.write_eof()

    def close(self) -> None:
        """Give it up."""
        self.closed = True
        if self.end is not None and self.end.get_protocol() is None:
            self.end.abort()

    def detach(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def __enter__(self) -> SimSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in ("connect", "connect_ex", "accept", "recv", "recv_into", "recvfrom", "send", "sendall", "sendto", "makefile"):
            raise CapabilityError(f"socket.{name}() is not simulated: it would block the whole world; use asyncio's streams")
        raise AttributeError(f"a simulated socket has no {name!r}")
