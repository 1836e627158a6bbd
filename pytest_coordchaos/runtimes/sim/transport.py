"""One end of a simulated TCP connection.

Bytes travel as packets: in order, each with a latency drawn for it. A packet that arrives while its way is cut is held,
as a sender that sends it again and again would have it; lifting the cut lets it go on, or resets the connection.
What arrives at a closed end is answered with a reset. Everything an end does runs in its node's context, so that a
paused node takes nothing and a dead one never does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.relay.framing.base import Framer
from pytest_coordchaos.relay.toxics.base import EOF, RESET
from pytest_coordchaos.runtimes.sim.answering import Answering
from pytest_coordchaos.runtimes.sim.buffered import fill
from pytest_coordchaos.runtimes.sim.fates import NOTHING, Fates, Packet, fitted
from pytest_coordchaos.runtimes.sim.link import Way
from pytest_coordchaos.runtimes.sim.node import SimNode

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.network import Network

__all__ = ["SimTransport"]

WINDOW_BYTES = 256 * 1024
"""What may be under way, or wait unread; more waits at the sender."""

_HIGH = 64 * 1024
_FIN, _RST = EOF, RESET  # marks among packets, told from data by identity


class SimTransport(Answering):
    """One end.

    Attributes:
        peer: The other end; None once both are over.
        way, incoming: The way on which this end sends, and the one on which its peer does.
        owner: The node it belongs to; None: a client or the experiment.
        context: Where what happens to it runs.
        framer: Cuts what it sends into messages; None: they are not counted.
    """

    def __init__(self, network: Network, way: Way, owner: SimNode | None, extra: dict[str, Any], framer: Framer | None) -> None:
        super().__init__(extra)
        self.network = network
        self.loop = network.loop
        self.way = way
        self.incoming = way.link.down if way is way.link.up else way.link.up
        self.owner = owner
        self.peer: SimTransport | None = None
        self.context: Context = Context()
        self.due_ns = 0
        self.held: deque[Packet] = deque()
        self.framer = framer
        self._feed = None if framer is None or framer.lost else framer.feed
        self._fates: Fates | None = None
        self._protocol: Any = None
        self._inbox: deque[Packet] = deque()
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._unread = 0
        self._high, self._low = _HIGH, _HIGH // 4
        self._reading_paused = self._writing_paused = False
        self._closing = self._ended = self._eof = self._fin_sent = self._lost = False

    # -- asyncio's transport -----------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """asyncio: send, or keep what the receiver has no room for."""
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        if self._outbox or self._unread >= WINDOW_BYTES:
            self._outbox.append(bytes(data))
            self._outbox_bytes += len(data)
            self._regulate()
        else:
            self._send(bytes(data))

    def write_eof(self) -> None:
        """asyncio: nothing more will be sent; reading goes on."""
        if not (self._closing or self._eof):
            self._eof = True
            if not self._outbox:
                self._send_fin()

    def close(self) -> None:
        """asyncio: send what waits, then end. Idempotent."""
        if self._closing:
            return
        self._closing = True
        if not self._outbox:
            self._finish(None)

    def abort(self) -> None:
        """asyncio: end now; what waits is lost."""
        self._outbox.clear()
        self._outbox_bytes = 0
        self._closing = True
        self._finish(None)

    def pause_reading(self) -> None:
        """asyncio: keep what arrives."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """asyncio: hand over what was kept."""
        if self._reading_paused:
            self._reading_paused = False
            self.loop.call_soon(self._drain, context=self.context)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """asyncio: when the protocol is told to pause."""
        high = (4 * low if low is not None else _HIGH) if high is None else high
        self._high, self._low = high, high // 4 if low is None else low
        self._regulate()

    # -- sending -----------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        loop, way, first, number = self.loop, self.way, 0, 0
        cause = loop.cause
        if way.meddling is not NOTHING or self._fates is not None:
            self._fates = fitted(self, self._fates)
        tally = way.tally
        if tally is not None:
            tally.offered += len(data)
            if way.link.talker is not way:
                way.link.turned(way)
            if self._feed is not None and (frames := self._feed(data)):
                first, number = self.network.ledger.sent(tally, frames, loop.now_ns, cause)
                cause = first + number - 1
        loop.trace.add(loop.now_ns, "send", data)
        if self._fates is None:
            self.transmit((data, first, number, cause))
        else:
            self._fates.put((data, first, number, cause))

    def _send_mark(self, mark: bytes) -> None:
        if self._fates is None:
            self.transmit((mark, 0, 0, self.loop.cause))
        else:
            self._fates.put((mark, 0, 0, self.loop.cause))

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            self._send_mark(_FIN)

    def transmit(self, packet: Packet) -> None:
        """Put a packet on the way."""
        loop, peer, data = self.loop, self.peer, packet[0]
        if peer is None:
            return
        if data is not _FIN and data is not _RST:
            self._unread += len(data)
        self.due_ns = due = max(self.due_ns, loop.now_ns + self.way.latency_ns())
        loop.call_at_ns(due, peer.arrive, packet, context=peer.context)

    def _flush(self) -> None:
        while self._outbox and self._unread < WINDOW_BYTES and not self._lost:
            data = self._outbox.popleft()
            self._outbox_bytes -= len(data)
            self._send(data)
        self._regulate()
        if not self._outbox:
            if self._closing:
                self._finish(None)
            elif self._eof and not self._ended:
                self._send_fin()

    def _regulate(self) -> None:
        if self._outbox_bytes > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()
        elif self._writing_paused and self._outbox_bytes <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    # -- receiving ---------------------------------------------------------------------------------

    def attach(self, protocol: Any) -> None:
        """The protocol is there: tell it, and hand over what came meanwhile."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._drain()

    def arrive(self, packet: Packet) -> None:
        """A packet reached this end."""
        if self.incoming.blocked or self.held:
            self.held.append(packet)
            self.incoming.holding[self] = None
        else:
            self._take(packet)

    def release(self) -> None:
        """The cut was lifted: what was held arrives, unless there is a new cut."""
        if self.incoming.blocked:
            self.incoming.holding[self] = None
            return
        held, self.held = self.held, deque()
        for packet in held:
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if self._lost:
            if packet[0] is not _RST and packet[0] is not _FIN and self.peer is not None and not self.peer._lost:
                self._send_mark(_RST)
        elif packet[0] is _RST:
            self._inbox.clear()
            self._finish(ConnectionResetError(104, "Connection reset by peer"), tell=False)
        elif self._protocol is None or self._reading_paused or self._inbox:
            self._inbox.append(packet)
        else:
            self._hand_over(packet)

    def _drain(self) -> None:
        while self._inbox and not self._reading_paused and not self._lost:
            self._hand_over(self._inbox.popleft())

    def _hand_over(self, packet: Packet) -> None:
        data, first, number, cause = packet
        loop, sender = self.loop, self.peer
        loop.cause = cause
        if data is _FIN:
            if not self._closing and not self._protocol.eof_received():
                self.close()
            return
        if sender is not None:
            sender._unread -= len(data)
            if sender._outbox:
                loop.call_soon(sender._flush, context=sender.context)
        tally = self.incoming.tally
        if tally is not None:
            tally.delivered += len(data)
            if number:
                self.network.ledger.arrived(first, number, loop.now_ns)
        if self._closing:
            return
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            fill(protocol, data)
        else:
            protocol.data_received(data)

    # -- the end -----------------------------------------------------------------------------------

    def reset(self) -> None:
        """A reset reaches this end, as if from the network."""
        self.loop.call_soon(self._take, (_RST, 0, 0, self.loop.cause), context=self.context)

    def reset_both(self) -> None:
        """A reset reaches either end."""
        self.reset()
        if self.peer is not None:
            self.peer.reset()

    def vanish(self) -> None:
        """The machine closes it without asking its program: the peer is reset."""
        if not self._ended:
            self._ended = self._closing = self._lost = True
            self._send_mark(_RST)
            self.network.forget(self)

    def mute(self) -> None:
        """The world is over; nothing that is done with this end has an effect."""
        self._ended = self._closing = self._lost = True

    def _finish(self, error: Exception | None, *, tell: bool = True) -> None:
        if self._ended:
            return
        self._ended = self._closing = True
        if tell and self._inbox and self._inbox[0][0] is not _FIN:
            self._send_mark(_RST)  # it leaves bytes unread
        elif tell:
            self._send_fin()
        self.loop.call_soon(self._tell_lost, error, context=self.context)

    def _tell_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._outbox.clear()
        self._outbox_bytes, self._writing_paused = 0, False
        self.network.forget(self)
        if self.peer is not None and self.peer._lost:
            self.peer.peer = None  # two ends that know each other would lie about until the world is over
            self.peer = None
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)
