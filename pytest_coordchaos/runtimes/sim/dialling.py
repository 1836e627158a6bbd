"""One TCP connection being set up: SYN, its answer, and how often the machine tries again."""

from __future__ import annotations

import asyncio
import errno
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.relay.framing import framer_pair
from pytest_coordchaos.runtimes.sim.link import Link
from pytest_coordchaos.runtimes.sim.node import SimNode
from pytest_coordchaos.runtimes.sim.server import SimServer
from pytest_coordchaos.runtimes.sim.sockets import SimSocket
from pytest_coordchaos.runtimes.sim.transport import SimTransport

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.network import Network

__all__ = ["Dialling"]

_SYN_RETRIES_S = (1, 2, 4, 8, 16, 32, 64)


class Dialling:
    """One attempt; `answer` is told of the end, or of the error."""

    def __init__(
        self,
        network: Network,
        link: Link,
        caller: SimNode | None,
        answer: asyncio.Future[SimTransport],
        own: tuple[str, int],
        remote: tuple[str, int],
    ) -> None:
        self.network, self.link, self.caller = network, link, caller
        self.answer, self.own, self.remote = answer, own, remote
        self.context = copy_context()
        self.retries = iter(_SYN_RETRIES_S)

    def send_syn(self) -> None:
        loop = self.network.loop
        loop.call_at_ns(loop.now_ns + self.link.up.latency_ns(), self.syn_arrives, context=Context())

    def syn_arrives(self) -> None:
        """At the machine dialled: accepted, refused, or (cut, or without power) not answered."""
        network, loop, link = self.network, self.network.loop, self.link
        if self.answer.done():
            return
        if link.up.refused:
            self.refuse()
        elif link.up.blocked or link.id.target in network.unpowered:
            wait_s = next(self.retries, None)
            if wait_s is None:
                self.settle(TimeoutError(errno.ETIMEDOUT, f"connect to {link.id.target}: timed out"))
            else:
                loop.call_at_ns(loop.now_ns + wait_s * 1_000_000_000, self.syn_arrives, context=Context())
        else:
            server = network.server_at(link.id.target, self.remote[1])
            if server is None:
                self.refuse()
            else:
                self.accept(server)

    def refuse(self) -> None:
        loop = self.network.loop
        error = ConnectionRefusedError(errno.ECONNREFUSED, f"{self.link.id.target}: port {self.remote[1]} refuses connections")
        loop.call_at_ns(loop.now_ns + self.link.down.latency_ns(), self.settle, error, context=self.context)

    def accept(self, server: SimServer) -> None:
        network, loop, link = self.network, self.network.loop, self.link
        up, down = framer_pair(link.protocol, link.classes) if link.up.tally is not None else (None, None)
        near = SimTransport(network, link.up, self.caller, _extra(self.own, self.remote), up)
        far = SimTransport(network, link.down, server.owner, _extra(self.remote, self.own) | {"server": server}, down)
        near.peer, far.peer = far, near
        near.context, far.context = self.context, server.context.copy()
        network.remember(far)
        server.open_ends[far] = None
        loop.call_soon(_accept, server, far, context=far.context)
        far.due_ns = loop.now_ns + link.down.latency_ns()
        loop.call_at_ns(far.due_ns, self.syn_ack_arrives, near, context=self.context)

    def syn_ack_arrives(self, near: SimTransport) -> None:
        network, loop = self.network, self.network.loop
        if self.link.down.blocked:
            wait_s = next(self.retries, None)
            if wait_s is not None:
                loop.call_at_ns(loop.now_ns + wait_s * 1_000_000_000, self.syn_ack_arrives, near, context=self.context)
            else:
                self.settle(TimeoutError(errno.ETIMEDOUT, f"connect to {self.link.id.target}: timed out"))
        elif self.answer.done():
            near.vanish()
        else:
            network.remember(near)
            self.link.connections[near] = None
            self.answer.set_result(near)

    def settle(self, error: OSError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _accept(server: SimServer, end: SimTransport) -> None:
    end.attach(server.factory())


def _extra(own: tuple[str, int], remote: tuple[str, int]) -> dict[str, Any]:
    return {"sockname": own, "peername": remote, "socket": SimSocket(name=own, peer=remote)}
