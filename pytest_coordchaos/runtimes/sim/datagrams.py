"""UDP in the simulation: datagrams that may be lost, come twice, or overtake each other."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.relay.datagram_flow import message_of
from pytest_coordchaos.runtimes.sim.fates import NOTHING, Fates, Packet
from pytest_coordchaos.runtimes.sim.link import Way
from pytest_coordchaos.runtimes.sim.node import SimNode
from pytest_coordchaos.runtimes.sim.sockets import SimSocket

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.network import Network

__all__ = ["SimDatagramTransport", "send"]

_MAX_BYTES = 65_507


class SimDatagramTransport(asyncio.DatagramTransport):
    """A UDP endpoint.

    Attributes:
        owner: The node it belongs to.
        number: Its port.
        fates: What its datagrams meet, by whom they are sent to.
    """

    def __init__(self, network: Network, number: int | None, remote: tuple[str, int] | None) -> None:
        self.network = network
        self.owner: SimNode | None = network.loop.node
        self.number = network.bind_datagrams(self, number or 0)
        name = (network.resolve("", self.owner), self.number)
        super().__init__({"sockname": name, "peername": remote, "socket": SimSocket(name=name, peer=remote)})
        self.context: Context = copy_context()
        self.name = name
        self._remote = remote
        self._protocol: Any = None
        self._closing = False
        self.fates: dict[tuple[str, int], Fates] = {}

    def attach(self, protocol: Any) -> None:
        """The protocol is there."""
        self._protocol = protocol
        protocol.connection_made(self)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """asyncio: send one datagram; nobody learns whether it arrives.

        Raises:
            ValueError: There is no address to send to.
        """
        to = addr or self._remote
        if to is None:
            raise ValueError("sendto: no address was given, and the endpoint has no remote one")
        data = bytes(data)
        if self._closing:
            return
        if len(data) > _MAX_BYTES:
            self._protocol.error_received(OSError(90, "Message too long"))
            return
        send(self.network, self, data, (str(to[0]), int(to[1])))

    def arrive(self, data: bytes, sender: tuple[str, int], way: Way, row: int, cause: int) -> None:
        """A datagram reached it."""
        if not self._closing:
            loop = self.network.loop
            loop.cause = row or cause
            if way.tally is not None:
                way.tally.delivered += len(data)
            if row:
                self.network.ledger.arrived(row, 1, loop.now_ns)
            self._protocol.datagram_received(data, sender)

    def close(self) -> None:
        """asyncio: give the port back. Idempotent."""
        if not self._closing:
            self._closing = True
            self.network.unbind_datagrams(self)
            self.network.loop.call_soon(self._protocol.connection_lost, None, context=self.context)

    def abort(self) -> None:
        """asyncio: the same as close."""
        self.close()

    def is_closing(self) -> bool:
        """asyncio: it was closed."""
        return self._closing

    def get_protocol(self) -> Any:
        """asyncio: who is told."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """asyncio: who is told from now on."""
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        """asyncio: datagrams are never kept."""
        return 0


def send(network: Network, sender: SimDatagramTransport, data: bytes, to: tuple[str, int]) -> None:
    """Put a datagram on its link: a datagram is a message. What a cut way swallows is gone."""
    loop, (way, _) = network.loop, network.datagram_way(sender, to)
    row, cause, link = 0, loop.cause, way.link
    if way.tally is not None:
        way.tally.offered += len(data)
        frame = message_of(data, link.datagrams, link.protocol, link.classes)
        row, _ = network.ledger.sent(way.tally, (frame,), loop.now_ns, cause)
    loop.trace.add(loop.now_ns, "datagram", data)
    packet = (data, row, int(row > 0), cause)
    if not data or (way.meddling is NOTHING and to not in sender.fates):
        _travel(network, sender, to, packet)  # a frame stage could not tell an empty datagram from none
    elif not way.meddling[1]:
        _fates(network, sender, to, way).put(packet)


def _fates(network: Network, sender: SimDatagramTransport, to: tuple[str, int], way: Way) -> Fates:
    """What this sender's datagrams to that address meet, by what faults say now."""
    fates = sender.fates.get(to)
    if fates is None:
        pass_on = partial(_travel, network, sender, to)
        fates = Fates(network.loop, network.draws, way.link.protocol, way.link.datagrams, pass_on, sender.abort)
        sender.fates[to] = fates
    if fates.wanted is not way.meddling:
        fates.fit(way.meddling, (b"", 0))
    return fates


def _travel(network: Network, sender: SimDatagramTransport, to: tuple[str, int], packet: Packet) -> None:
    """By chance it is lost, or comes twice; a way that holds keeps it, one that is cut, or without replies, swallows it."""
    loop, draws, model = network.loop, network.draws, network.model
    data, row, _, cause = packet
    way, receiver = network.datagram_way(sender, to)
    lost = model.datagram_loss and draws.below(model.datagram_loss) == model.datagram_loss - 1
    copies = 1 + bool(model.datagram_copies and draws.below(model.datagram_copies) == model.datagram_copies - 1)
    if way.meddling[1] or lost or receiver is None:
        return
    if way.surely_held:
        way.kept.append(partial(_travel, network, sender, to, packet))
    if way.blocked:
        return
    for _ in range(copies):
        loop.call_at_ns(
            loop.now_ns + way.latency_ns(), receiver.arrive, data, sender.name, way, row, cause, context=receiver.context
        )
