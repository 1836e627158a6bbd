"""One direction of one connection: state, delay queue, back-pressure, counters.

A flow is the asyncio protocol of the transport it *reads from*; it writes to its `sink`. Hence
`pause_writing` and `resume_writing`, which speak of the same transport, are its twin's business.

- Pass: bytes go straight on.
- Delay: each chunk, the end of the stream and a reset go on `delay` after they were received, in
  order, pipelined. A change of the delay holds for what waits as well, by its own receive time.
- Drop: everything is discarded, the end of the stream and resets too. What waited in the queue was
  in flight, and is lost. What the receiver's socket had taken before is past the cut.
- Behind: bytes are passed on to what discards them (Toxiproxy); the end of the stream and resets are
  lost here, because that would pass them on.

A flow that lost anything is `lossy`; its connection is reset when the cut is lifted.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.framing.base import Frame, Framer
from pytest_coordchaos.relay.transports import call_at, queue_limit, reset

if TYPE_CHECKING:
    from pytest_coordchaos.relay.connection import Connection
    from pytest_coordchaos.relay.store import Store, Tally

__all__ = ["Flow"]

_CHUNK_COST = 256  # what a queued chunk costs beside its bytes, so that many tiny ones are bounded too
_COUNT_AT_ONCE = 64
_COUNT_SOON = 16 * 1024  # bytes worth no keeping
_WRITE_BUFFER = 64 * 1024

_EOF = b"EOF"  # marks in the queue, told from data by identity
_RESET = b"RESET"
_PASSING = (LinkMode.PASS, LinkMode.BEHIND)


class Flow(asyncio.Protocol):
    """One direction.

    Attributes:
        mode, delay_ns: The state in force.
        source, sink: Transports read from and written to; None: not connected yet, or gone.
        lossy: It lost bytes, an end of stream or a reset.
        ended: The end of the stream was passed on.
        twin: The other direction of the connection.
    """

    __slots__ = (
        "_choked", "_direct", "_feed", "_framer", "_held", "_queue", "_queued", "_sink_full", "_store", "_timer", "_uncounted",
        "_write", "conn", "delay_ns", "ended", "lossy", "mode", "sink", "source", "source_ended", "tally", "twin",
    )  # fmt: skip

    twin: Flow

    def __init__(self, conn: Connection, tally: Tally, framer: Framer, store: Store, state: DirectionState) -> None:
        self.conn = conn
        self.tally = tally
        self.mode = state.mode
        self.delay_ns = round(state.delay_ms * 1e6)
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self.lossy = self.ended = self.source_ended = False
        self._framer = framer
        self._feed: Callable[[bytes], Sequence[Frame]] | None = None if framer.lost else framer.feed
        self._store = store
        self._uncounted = store.uncounted
        self._queue: deque[tuple[int, bytes, int, int]] = deque()  # received_ns, data or mark, first row, rows
        self._queued = 0
        self._timer: asyncio.Handle | None = None
        self._direct = self._sink_full = self._choked = self._held = False
        self._write: Callable[[bytes], None] = _nowhere

    # -- from the transport read from --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport to read from is there."""
        self.source = source = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        source.set_write_buffer_limits(high=_WRITE_BUFFER)
        # asyncio does this only for sockets it made itself; with Nagle a small message waits 40 ms for an acknowledgement
        source.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.twin.attach(source)
        self.conn.opened(self, source)

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
            if self._feed is not None:
                self._uncounted.append((self, data, now))
                if len(self._uncounted) >= _COUNT_AT_ONCE or len(data) > _COUNT_SOON:
                    self._store.settle()
        else:
            self._data_indirect(data, now)

    def eof_received(self) -> bool:
        """The sender closed its side; the other direction goes on."""
        self.source_ended = True
        self._store.settle()
        if self._feed is not None:
            frames = self._framer.finish()
            if frames:
                now = monotonic_ns()
                self._store.add(frames, self.tally, now, now if self._direct else 0)
        self._mark(_EOF)
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

    def set_state(self, state: DirectionState) -> None:
        """Put a state in force for what waits and what comes."""
        self.mode = state.mode
        self.delay_ns = round(state.delay_ms * 1e6)
        if self.mode in _PASSING:
            self._pump()
        else:
            self._discard_queue()

    def attach(self, sink: asyncio.Transport) -> None:
        """There is somewhere to write to now."""
        self.sink = sink
        self._write = sink.write
        self._pump()

    def detach(self) -> None:
        """There is nowhere to write to any more: what waits and what comes is lost."""
        self.sink = None
        self._write = _nowhere
        self._sink_full = False
        self._discard_queue()

    def send_reset(self) -> None:
        """A reset travels in this direction, after what was received before it."""
        self._mark(_RESET)

    def count_nothing(self, tally: Tally) -> None:
        """Frame nothing, and count bytes on a tally of no ledger (a probe's connection)."""
        self.tally = tally
        self._feed = None

    def count(self, data: bytes, offered_ns: int, delivered_ns: int) -> tuple[int, int]:
        """Put the messages that end in `data` into the store; returns the first one's number, and how many."""
        if self._feed is None:
            return 0, 0
        try:
            frames = self._feed(data)
        except Exception:  # counting must never cost anybody a byte
            traceback.print_exc(file=sys.stderr)
            self._feed = None
            return 0, 0
        if not frames:
            if self._framer.lost:
                self._feed = None
            return 0, 0
        return self._store.add(frames, self.tally, offered_ns, delivered_ns), len(frames)

    def stall(self) -> None:
        """The sink takes no more."""
        self._sink_full = True
        self._regulate()

    def unstall(self) -> None:
        """The sink takes bytes again."""
        self._sink_full = False
        self._pump()

    # -- inside ------------------------------------------------------------------------------------

    def _data_indirect(self, data: bytes, now: int) -> None:
        self._store.settle()
        first, count = self.count(data, now, 0)
        self.lossy |= self.mode is LinkMode.BEHIND
        if self.mode not in _PASSING or (self.sink is None and not self.conn.dialling):
            self.lossy = True
            self.conn.discarded(self, len(data))
            return
        self._queue.append((now, data, first, count))
        self._queued += len(data) + _CHUNK_COST
        if self._timer is None:
            self._pump()
        elif self._queued >= queue_limit(self.delay_ns):
            self._regulate()

    def _mark(self, mark: bytes) -> None:
        if self.mode is not LinkMode.PASS:
            self.lossy = True
        elif self.sink is not None or self.conn.dialling:
            self._queue.append((monotonic_ns(), mark, 0, 0))
            if self._timer is None:
                self._pump()

    def _pump(self) -> None:
        """Pass on everything that is due, set the timer for what is not, and hold the sender back or let it go on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        queue, delay = self._queue, self.delay_ns
        while queue and self.sink is not None and not self._sink_full:
            now = monotonic_ns()
            due = queue[0][0] + delay
            if due > now:
                self._timer = call_at(self.conn.loop, due, due - now, self._due)
                break
            _, data, first, count = queue.popleft()
            self._emit(data, first, count, now)
        self._direct = self.mode is LinkMode.PASS and not delay and not queue and self.sink is not None
        self._regulate()

    def _due(self) -> None:
        self._timer = None
        self._pump()

    def _emit(self, data: bytes, first: int, count: int, now: int) -> None:
        if data is _EOF:
            self._emit_eof()
        elif data is _RESET:
            self._emit_reset()
        else:
            self._queued -= len(data) + _CHUNK_COST
            self._write(data)
            self.tally.delivered += len(data)
            if count:
                self._store.deliver(first, count, now)

    def _emit_eof(self) -> None:
        self.ended = True
        if self.sink is not None and not self.sink.is_closing():
            self.sink.write_eof()
        self.conn.flow_ended()

    def _emit_reset(self) -> None:
        sink = self.sink
        self.detach()
        if sink is not None:
            reset(sink)

    def _discard_queue(self) -> None:
        if self._queue:
            self.lossy = True
            self._queue.clear()
            self._queued = 0
        self._pump()

    def _regulate(self) -> None:
        """Let the sender send, or hold it back: back-pressure always reaches it."""
        limit = queue_limit(self.delay_ns)
        if self._queued >= limit and not self._choked:
            self._choked = True
            self.tally.saturated += self.delay_ns > 0
        elif self._choked and self._queued <= limit // 2:
            self._choked = False
        passing = self.mode in _PASSING and self.sink is not None
        hold = self._choked or (passing and self._sink_full and not self.delay_ns)
        source = self.source
        if hold is self._held or source is None or self.source_ended:
            return
        self._held = hold
        if hold:
            source.pause_reading()
        else:
            source.resume_reading()


def _nowhere(data: bytes) -> None:
    """Where a flow without a sink writes to."""
