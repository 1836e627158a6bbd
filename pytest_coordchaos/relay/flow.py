"""One direction of one connection, the half that receives: counters, and what becomes of bytes in each state.

A flow is the asyncio protocol of the transport it *reads from*; it writes to its `sink` (`delivery.Delivery`).
Hence `pause_writing` and `resume_writing`, which speak of the same transport, are its twin's business.

- Pass: bytes go straight on.
- Delay: each chunk, the end of the stream and a reset go on `delay` after they were received, in
  order, pipelined. A change of the delay holds for what waits as well, by its own receive time.
- Hold: everything waits, in order, until the hold is lifted; when that is much the sender is held back.
- Drop: everything is discarded, the end of the stream and resets too. What waited in the chain was
  in flight, and is lost. What the receiver's socket had taken before is past the cut.
- Behind: bytes are passed on to what discards them (Toxiproxy); the end of the stream and resets are
  lost here, because that would pass them on.

A flow that lost anything is `lossy`: nothing is held for it, and its connection is reset when the cut is lifted.
"""

from __future__ import annotations

import asyncio
import socket
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.counter import Counter
from pytest_coordchaos.relay.delivery import Delivery
from pytest_coordchaos.relay.frame_stage import Draw, FrameStage, ReplyStage
from pytest_coordchaos.relay.framing.base import Framer
from pytest_coordchaos.relay.toxics.base import CLOSE, EOF, RESET

if TYPE_CHECKING:
    from pytest_coordchaos.relay.connection import Connection
    from pytest_coordchaos.relay.store import Store, Tally

__all__ = ["Flow"]

_COUNT_AT_ONCE = 64
_COUNT_SOON = 16 * 1024  # bytes worth no keeping
_WRITE_BUFFER = 64 * 1024


class Flow(Delivery, asyncio.Protocol):
    """One direction.

    Attributes:
        twin: The other direction of the connection.
    """

    __slots__ = ("_counter", "_frames", "_replies", "_uncounted", "twin")

    twin: Flow

    def __init__(self, conn: Connection, tally: Tally, framer: Framer, store: Store, state: DirectionState) -> None:
        super().__init__(conn, tally, store, state)
        self._counter = Counter(framer, store, tally)
        self._uncounted = store.uncounted
        self._frames: FrameStage | None = None
        self._replies: ReplyStage | None = None
        if state.frames or state.replies_lost:
            self._fit(state)

    # -- from the transport read from --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport to read from is there; the connection says when it is to be used."""
        self.conn.opened(self, cast(asyncio.Transport, transport))  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """Bytes from the sender: the hot path."""
        now = monotonic_ns()
        tally = self.tally
        tally.offered += len(data)
        if self.conn.talker is not self:
            self.conn.turn(self)
        if self._direct:
            self._write(data)
            tally.delivered += len(data)
            if self._counter.feed is not None:
                self._uncounted.append((self._counter, data, now))
                if len(self._uncounted) >= _COUNT_AT_ONCE or len(data) > _COUNT_SOON:
                    self._store.settle()
        else:
            self._data_indirect(data, now)

    def eof_received(self) -> bool:
        """The sender closed its side; the other direction goes on."""
        self.source_ended = True
        self._store.settle()
        self._counter.finish(delivered=self._direct)
        self._mark(EOF)
        return True

    def pause_writing(self) -> None:
        """The transport read from does not take what the twin writes."""
        self.twin.stall()

    def resume_writing(self) -> None:
        """The transport read from takes what the twin writes again."""
        self.twin.unstall()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport read from is gone: closed by us, or reset by the sender."""
        self.source = None
        self.twin.detach()
        self.conn.closed(self)

    # -- from the connection -----------------------------------------------------------------------

    def use(self, source: asyncio.Transport) -> None:
        """Read from this transport, and let the twin write to it."""
        self.source = source
        source.set_write_buffer_limits(high=_WRITE_BUFFER)
        # asyncio does this only for sockets it made itself; with Nagle a small message waits 40 ms for an acknowledgement
        source.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.twin.attach(source)

    def set_state(self, state: DirectionState) -> None:
        """Put a state in force for what waits and what comes."""
        self._fit(state)
        super().set_state(state)

    def send_reset(self) -> None:
        """A reset travels in this direction, after what was received before it."""
        self._mark(RESET)

    def send_close(self) -> None:
        """The connection is closed in good order: the receiver's end after what was received before."""
        self._mark(CLOSE)

    def count_nothing(self, tally: Tally) -> None:
        """Frame nothing, and count bytes on a tally of no ledger (a probe's connection)."""
        self.tally = tally
        self._counter.stop(tally)

    def draw_from(self, draw: Draw) -> None:
        """Decide the fates of frames by these draws (a probe's), and call anything that comes a reply."""
        if self._frames is not None:
            self._frames.draw = draw
        if self._replies is not None:
            self._replies.greets = False

    # -- inside ------------------------------------------------------------------------------------

    def _fit(self, state: DirectionState) -> None:
        """Have the stages that the state asks for, and no others."""
        chain, now = self.chain, monotonic_ns()
        if self._frames is not None and not state.frames:
            chain.remove(self._frames, now)
            self._frames = None
        elif self._frames is not None:
            self._frames.set_rules(state.frames)
        elif state.frames and (made := self._frame_stage(state)):
            self._frames = made
            chain.insert_front(made)
        if self._replies is not None and not state.replies_lost:
            chain.remove(self._replies, now)
            self._replies = None
        elif state.replies_lost and self._replies is None:
            self._replies = ReplyStage(greets=self.conn.link.greets)
            chain.insert_front(self._replies)

    def _frame_stage(self, state: DirectionState) -> FrameStage | None:
        """None: the bytes are not what was declared, and pass as they are."""
        self._store.settle()
        begun = self._counter.unfinished()
        return None if begun is None else self.conn.link.frame_stage(self.tally, state.frames, begun)

    def _data_indirect(self, data: bytes, now: int) -> None:
        self._store.settle()
        first, count = self._counter.count(data, now, 0)
        self.lossy |= self.mode is LinkMode.BEHIND
        if self.loses or (self.sink is None and not self.conn.dialling):
            self.lossy = True
            self.conn.discarded(self, len(data))
            return
        if self.mode is LinkMode.HOLD:
            self.conn.held(self, len(data))
        self.put((now, data, first, count))

    def _mark(self, mark: bytes) -> None:
        if self.loses or self.mode is LinkMode.BEHIND:
            self.lossy = True
        elif self.sink is not None or self.conn.dialling:
            self.put((monotonic_ns(), mark, 0, 0))
