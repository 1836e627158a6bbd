"""One direction of one connection, the half that sends: chain of stages, timer, back-pressure.

Toxics are stages of the chain (`toxics.base`), before the line that delays for the cluster's faults. The fast path
lies in `flow`: bytes that nothing is done to never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.toxics.base import ABORT, CLOSE, EOF, NEVER, RESET, Item, Stage
from pytest_coordchaos.relay.toxics.chain import Chain
from pytest_coordchaos.relay.transports import call_at, reset

if TYPE_CHECKING:
    from pytest_coordchaos.relay.connection import Connection
    from pytest_coordchaos.relay.store import Store, Tally

__all__ = ["PASSING", "Delivery"]

PASSING = (LinkMode.PASS, LinkMode.BEHIND)
"""Modes in which bytes are passed on."""
_LOSING = (LinkMode.DROP, LinkMode.REFUSE)


class Delivery:
    """Where one direction's bytes go on their way to the sink.

    Attributes:
        mode: The state in force; its delay is the chain's line's.
        chain: What the bytes go through when they do not go straight on.
        source, sink: Transports read from and written to; None: not connected yet, or gone.
        lossy: It lost bytes, an end of stream or a reset.
        ended: The end of the stream was passed on.
        source_ended: The sender closed its side.
    """

    __slots__ = (
        "_direct", "_held", "_sink_full", "_store", "_timer", "_timer_ns", "_write",
        "chain", "conn", "ended", "lossy", "mode", "sink", "source", "source_ended", "tally",
    )  # fmt: skip

    def __init__(self, conn: Connection, tally: Tally, store: Store, state: DirectionState) -> None:
        self.conn = conn
        self.tally = tally
        self.mode = state.mode
        self.chain = Chain(round(state.delay_ms * 1e6))
        self.chain.line.holding = self.mode is LinkMode.HOLD
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self.lossy = self.ended = self.source_ended = False
        self._store = store
        self._timer: asyncio.Handle | None = None
        self._timer_ns = NEVER
        self._direct = self._sink_full = self._held = False
        self._write: Callable[[bytes], None] = _nowhere

    @property
    def loses(self) -> bool:
        """What comes now is lost: it is cut, or held behind something that was."""
        return self.mode in _LOSING or (self.mode is LinkMode.HOLD and self.lossy)

    def put(self, item: Item) -> None:
        """Something travels in this direction from now on."""
        chain = self.chain
        chain.put(item, item[0])
        if self._timer is None or chain.stages[0].due_ns() < self._timer_ns:
            self._pump()
        else:
            self._regulate()

    def set_state(self, state: DirectionState) -> None:
        """Put a state in force for what waits and what comes."""
        self.mode = state.mode
        self.chain.line.set_delay(round(state.delay_ms * 1e6))
        self.chain.line.holding = self.mode is LinkMode.HOLD
        if self.loses:
            self._discard()
        else:
            self._pump()

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
        self._discard()

    def stall(self) -> None:
        """The sink takes no more."""
        self._sink_full = True
        self._regulate()

    def unstall(self) -> None:
        """The sink takes bytes again."""
        self._sink_full = False
        self._pump()

    # -- stages ------------------------------------------------------------------------------------

    def add_stage(self, stage: Stage, index: int) -> None:
        """What comes from now on goes through this stage too, before the one that is at `index` now."""
        self.chain.insert(index, stage)
        self._direct = False
        self.stage_changed()

    def add_front(self, stage: Stage) -> None:
        """What comes from now on goes through this stage first, as the sender wrote it."""
        self.chain.insert_front(stage)
        self._direct = False

    def remove_stage(self, stage: Stage, *, for_good: bool = True) -> None:
        """Take a stage out; what it held goes on. Not `for_good`: it may come back."""
        self.chain.remove(stage, monotonic_ns(), for_good=for_good)
        self._pump()

    def stage_changed(self) -> None:
        """A stage was told something new: it may give things out sooner, or later."""
        if self._timer is not None or self._held or self.chain.due_ns(True) < NEVER:  # most connections have nothing under way
            self._pump()

    # -- inside ------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Pass on everything that is due, set the timer for what is not, and hold the sender back or let it go on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        chain = self.chain
        chain.advance(monotonic_ns(), self._has_room, self._emit)
        self._direct = self.mode is LinkMode.PASS and self.sink is not None and chain.idle
        if not chain.idle:
            self._obey(chain)
            self._timer_ns = due = chain.due_ns(self._has_room())
            if due < NEVER:
                self._timer = call_at(self.conn.loop, due, due - monotonic_ns(), self._due)
        self._regulate()

    def _obey(self, chain: Chain) -> None:
        """What a stage asked of the connection; not while the cut holds back its word as it does every other."""
        if self.mode is LinkMode.PASS and chain.line.aborting:
            self.conn.reset_both()
        elif self.mode is LinkMode.PASS and chain.line.closing:
            self.conn.shut(self)

    def _due(self) -> None:
        self._timer = None
        self._pump()

    def _has_room(self) -> bool:
        return (self.sink is not None and not self._sink_full) or self.mode in _LOSING

    def _emit(self, item: Item) -> None:
        _, data, first, count = item
        if self.mode not in PASSING:
            self.lossy = True
        elif data is EOF:
            self._emit_eof()
        elif data is RESET:
            self._emit_reset()
        elif data is CLOSE:
            self._emit_close()
        elif data is not ABORT:  # that is obeyed when all that is due was passed on
            self._write(data)
            self.tally.delivered += len(data)
            if count:
                self._store.deliver(first, count, monotonic_ns())

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

    def _emit_close(self) -> None:
        sink = self.sink
        self.conn.shut(self)
        self.detach()
        if sink is not None:
            sink.close()

    def _discard(self) -> None:
        if self.chain.discard():
            self.lossy = True
        self._pump()

    def _regulate(self) -> None:
        """Let the sender send, or hold it back: back-pressure always reaches it."""
        chain, source = self.chain, self.source
        full = chain.full
        passing = self.mode in PASSING and self.sink is not None
        hold = full or (passing and self._sink_full and not chain.line.delay_ns and len(chain.stages) == 1)
        if hold is self._held or source is None or self.source_ended:
            return
        self._held = hold
        if hold:
            self.tally.saturated += full and (chain.line.delay_ns > 0 or chain.line.holding)
            source.pause_reading()
        else:
            source.resume_reading()


def _nowhere(data: bytes) -> None:
    """Where a flow without a sink writes to."""
