"""One direction of one dialler's datagrams: counted, delayed, kept, lost, doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from time import monotonic_ns

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.frame_formats import DATAGRAM_CLASS, DatagramFormat
from pytest_coordchaos.relay.frame_stage import Draw, FrameStage
from pytest_coordchaos.relay.framing import Frame
from pytest_coordchaos.relay.framing.frames import FramesFramer
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.toxics.base import NEVER, Item
from pytest_coordchaos.relay.toxics.chain import Chain
from pytest_coordchaos.relay.transports import call_at

__all__ = ["DatagramFlow", "message_of"]


class DatagramFlow:
    """Where datagrams of one direction go.

    Args:
        loop: Its timers.
        form: What class a datagram is of, and what of it may be corrupted.
        framing: Protocol and classes, for the operations that a message names.
        draw: Where chance comes from.
        store: Where messages are counted; None: nowhere (a probe's).
        tally: Where bytes are counted.
        send: Passes a datagram on.
        stopped: Told of what does not go on, and why.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        form: DatagramFormat,
        framing: tuple[str, Mapping[int, str]],
        draw: Draw,
        store: Store | None,
        tally: Tally,
        send: Callable[[bytes], object],
        stopped: Callable[[LinkMode, int], None] | None,
    ) -> None:
        self._loop = loop
        self._form = form
        self._protocol, self._classes = framing
        self._draw = draw
        self._store = store
        self._tally = tally
        self._send = send
        self._stopped = stopped
        self._mode = LinkMode.PASS
        self._chain = Chain()
        self._frames: FrameStage | None = None
        self._timer: asyncio.Handle | None = None

    @property
    def keeps(self) -> bool:
        """Something waits."""
        return bool(self._chain.line.queue)

    def offer(self, data: bytes, now_ns: int) -> None:
        """A datagram came from the sender."""
        self._tally.offered += len(data)
        first = self._count(data, now_ns)
        if self._stopped is not None and self._mode is not LinkMode.PASS:
            self._stopped(self._mode, len(data))
        if self._mode is LinkMode.DROP:
            return
        chain = self._chain
        if chain.full:
            self._tally.saturated += 1
            return
        item = (now_ns, data, first, int(first is not None)) if first is not None else (now_ns, data, 0, 0)
        if data:
            chain.put(item, now_ns)
        else:
            chain.line.put(item, now_ns)  # a frame stage could not tell an empty datagram from none
        self._pump()

    def set_state(self, state: DirectionState) -> None:
        """Put a state in force, also for what waits."""
        self._mode = state.mode
        chain = self._chain
        if self._frames is not None and not state.frames:
            chain.remove(self._frames, monotonic_ns())
            self._frames = None
        elif self._frames is not None:
            self._frames.set_rules(state.frames)
        elif state.frames:
            self._frames = FrameStage(self._form, self._draw, state.frames)
            chain.insert_front(self._frames)
        chain.line.set_delay(round(state.delay_ms * 1e6))
        chain.line.holding = state.mode is LinkMode.HOLD
        if state.mode is LinkMode.DROP:
            chain.discard()
        self._pump()

    def close(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside ------------------------------------------------------------------------------------

    def _pump(self) -> None:
        self.close()
        self._chain.advance(monotonic_ns(), lambda: True, self._emit)
        due = self._chain.due_ns(room=True)
        if due < NEVER:
            self._timer = call_at(self._loop, due, due - monotonic_ns(), self._pump)

    def _emit(self, item: Item) -> None:
        _, data, first, count = item
        with contextlib.suppress(OSError):  # its receiver takes no more, or is gone: lost, as on any network
            self._send(data)
            self._tally.delivered += len(data)
            if count and self._store is not None:
                self._store.deliver(first, count, monotonic_ns())

    def _count(self, data: bytes, now_ns: int) -> int | None:
        """The number of the message's row; None: it has none."""
        if self._store is None:
            return None
        self._store.settle()
        message = message_of(data, self._form, self._protocol, self._classes)
        return self._store.add((message,), self._tally, now_ns, 0)


def message_of(data: bytes, form: DatagramFormat, protocol: str, classes: Mapping[int, str]) -> Frame:
    """The one message that a datagram is."""
    name = form.class_of(data)
    if protocol == "frames" and name != DATAGRAM_CLASS:
        frames = FramesFramer(classes).feed(data)
        if len(frames) == 1:
            return frames[0]
    return name, len(data), ()
