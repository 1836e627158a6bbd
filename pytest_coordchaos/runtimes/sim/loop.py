"""The loop as programs see it: the kernel, and asyncio's calls for connections, servers, datagrams and names."""

# mypy: disable-error-code="override"
# asyncio's signatures hold a dozen overloads and real sockets; programs call these with any of them.
from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from pytest_coordchaos.runtimes.sim.datagrams import SimDatagramTransport
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.network import Network
from pytest_coordchaos.runtimes.sim.refused import Refused, refusal
from pytest_coordchaos.runtimes.sim.server import SimServer
from pytest_coordchaos.runtimes.sim.sockets import SimSocket
from pytest_coordchaos.runtimes.sim.transport import SimTransport

__all__ = ["SimLoop"]

Factory = Callable[[], Any]


class SimLoop(Refused, Kernel):
    """A simulated event loop.

    Attributes:
        network: The network it reaches; set once it is made.
    """

    network: Network

    # -- connections -------------------------------------------------------------------------------

    async def create_connection(
        self,
        protocol_factory: Factory,
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: SimSocket | None = None,
        local_addr: tuple[str, int] | None = None,
        **unused: Any,
    ) -> tuple[SimTransport, Any]:
        """asyncio: connect, or take the connection of a socket from `sock_connect`."""
        _no_tls(ssl)
        if sock is not None:
            end = sock.end
            if end is None:
                raise ValueError("create_connection(sock=…): the socket is not connected")
        elif host is None or port is None:
            raise ValueError("create_connection: give host and port, or sock")
        else:
            end = await self.network.dial(host, int(port), None if local_addr is None else local_addr[0])
        protocol = protocol_factory()
        end.attach(protocol)
        return end, protocol

    async def create_server(
        self,
        protocol_factory: Factory,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        sock: SimSocket | None = None,
        ssl: Any = None,
        start_serving: bool = True,
        **unused: Any,
    ) -> SimServer:
        """asyncio: listen on this node's port."""
        _no_tls(ssl)
        if sock is not None:
            host, port = sock.name
        hosts = [host] if isinstance(host, str) or host is None else list(host)
        server = self.network.new_server(protocol_factory, [one or "" for one in hosts], int(port or 0))
        if start_serving:
            await server.start_serving()
        return server

    async def create_datagram_endpoint(
        self,
        protocol_factory: Factory,
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        *,
        sock: SimSocket | None = None,
        **unused: Any,
    ) -> tuple[SimDatagramTransport, Any]:
        """asyncio: a UDP endpoint of this node."""
        if sock is not None:
            local_addr = sock.name
        transport = SimDatagramTransport(self.network, None if local_addr is None else local_addr[1], remote_addr)
        protocol = protocol_factory()
        transport.attach(protocol)
        return transport, protocol

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """asyncio: connect a simulated socket."""
        if not isinstance(sock, SimSocket):
            raise refusal("sock_connect", "the socket is a real one; make it with socket.socket() inside the simulation")
        end = await self.network.dial(address[0], address[1])
        sock.end, sock.peer = end, (address[0], address[1])
        sock.name = end.get_extra_info("sockname")

    # -- names -------------------------------------------------------------------------------------

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, Any, int, str, Any]]:
        """asyncio: names of this simulation only."""
        number = 0 if port is None else int(port)
        address = (self.network.resolve(host, self.node), number)
        kind = socket.SocketKind(type) if type else socket.SOCK_STREAM
        return [(socket.AF_INET, kind, proto or socket.IPPROTO_TCP, "", address)]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """asyncio: the address as it is."""
        return str(sockaddr[0]), str(sockaddr[1])


def _no_tls(ssl: object) -> None:
    if ssl:
        raise refusal("create_connection(ssl=…)", "TLS records hold randomness that no seed decides; speak plain text in sim")
