"""A pair of flows between a dialler and a node, from accept to the last byte.

What one end does reaches the other only along a flow: a reset or an end of stream travels like
bytes, delayed where they are, swallowed where they are. Nothing else closes a connection but the
link itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.flow import Flow
from pytest_coordchaos.relay.store import Tally
from pytest_coordchaos.relay.transports import reset

if TYPE_CHECKING:
    from pytest_coordchaos.faults.model import FrameRule
    from pytest_coordchaos.relay.delivery import Delivery
    from pytest_coordchaos.relay.frame_stage import FrameStage
    from pytest_coordchaos.relay.framing.base import Framer
    from pytest_coordchaos.relay.probe import Probe
    from pytest_coordchaos.relay.store import Store
    from pytest_coordchaos.relay.toxics.collection import Toxics

__all__ = ["Connection", "Way"]


class Way(Protocol):
    """What a connection goes through: a link of a cluster, or a proxy that belongs to none.

    Attributes:
        up_state, down_state: The states in force.
        connections: Open ones.
        toxics: What acts on them.
    """

    loop: asyncio.AbstractEventLoop
    store: Store
    up_tally: Tally
    down_tally: Tally
    up_state: DirectionState
    down_state: DirectionState
    connections: set[Connection]
    toxics: Toxics

    @property
    def refusing(self) -> bool:
        """New connections are refused."""
        ...

    @property
    def greets(self) -> bool:
        """The node says things that are no replies."""
        ...

    def frame_stage(self, tally: Tally, rules: Sequence[FrameRule], begun: tuple[bytes, int]) -> FrameStage | None:
        """What decides the fates of one flow's frames, given where in a frame it stands."""
        ...

    def framers(self) -> tuple[Framer, Framer]:
        """Fresh framers of the two directions."""
        ...

    def probe_from(self, address: tuple[str, int]) -> Probe | None:
        """The probe that dials from this address."""
        ...

    async def dial(self, dialling: Callable[[socket.socket], None]) -> socket.socket:
        """A socket connected to where it leads; `dialling` is told of each socket before it is connected. OSError: none was."""
        ...

    def dial_failed(self, conn: Connection) -> None:
        """Nothing could be dialled for this connection: tell its dialler."""
        ...


class Connection:
    """One accepted connection and the one dialled for it.

    Attributes:
        up, down: Dialler to node, and the way back.
        talker: The flow that received bytes last.
        dialling: The node's end is being connected, or will be when a hold is lifted: what comes for it waits.
        probe: The probe this connection belongs to; such a one is in no ledger and reaches no node.
    """

    __slots__ = (
        "_closing", "_dial_later", "_dial_socket", "_dial_task", "_shut",
        "dialling", "down", "link", "loop", "probe", "talker", "up",
    )  # fmt: skip

    def __init__(self, link: Way) -> None:
        self.link = link
        self.loop = link.loop
        self.talker: Flow | None = None
        self.dialling = False
        self.probe: Probe | None = None
        self._dial_task: asyncio.Task[None] | None = None
        self._dial_socket: socket.socket | None = None
        self._closing = self._shut = self._dial_later = False
        up_framer, down_framer = link.framers()
        self.up = Flow(self, link.up_tally, up_framer, link.store, link.up_state)
        self.down = Flow(self, link.down_tally, down_framer, link.store, link.down_state)
        self.up.twin, self.down.twin = self.down, self.up

    # -- from the flows ----------------------------------------------------------------------------

    def opened(self, flow: Flow, transport: asyncio.Transport) -> None:
        """A transport is there. The dialler's is used at once, and the node dialled; the node's when `_dial` has it."""
        if flow is self.down:
            return
        flow.use(transport)
        if self.link.refusing:
            self._closing = True
            reset(transport)
            return
        self.probe = self.link.probe_from(transport.get_extra_info("peername"))
        if self.probe is not None:
            self._make_uncounted(self.probe)
        self.link.connections.add(self)
        if self.probe is None:  # a probe is to see the states alone
            self.link.toxics.join(self.up, self.down)
        if self.probe is not None or self.up.mode is LinkMode.PASS:
            self._begin_dial()
        elif self.up.mode is LinkMode.HOLD:
            self.dialling = self._dial_later = True

    def turn(self, flow: Flow) -> None:
        """Bytes came from the other end than the last ones."""
        if self.talker is not None:
            self.up.tally.turns += 1
        self.talker = flow

    def discarded(self, flow: Flow, size: int) -> None:
        """A flow threw bytes away."""
        if self.probe is not None:
            self.probe.discarded(flow is self.up, size)

    def held(self, flow: Flow, size: int) -> None:
        """A flow keeps bytes until a hold is lifted."""
        if self.probe is not None:
            self.probe.held(flow is self.up, size)

    def flow_ended(self) -> None:
        """A flow passed on its end of stream: with both, the connection is over."""
        if self.up.ended and self.down.ended:
            self._closing = True
            for transport in (self.up.source, self.down.source):
                if transport is not None:
                    transport.close()

    def shut(self, flow: Delivery) -> None:
        """A stage of this flow closes the connection: each end after what still travels to it."""
        if not self._shut:
            self._shut = True
            self._stop_dialling()
            (self.down if flow is self.up else self.up).send_close()

    def closed(self, flow: Flow) -> None:
        """The transport a flow read from is gone; unless we closed it, it was reset."""
        if not (self._closing or self._shut):
            flow.send_reset()
        self._forget_if_over()

    # -- from the link -----------------------------------------------------------------------------

    def set_states(self, up: DirectionState, down: DirectionState) -> None:
        """Put states in force. Directions that lost something and pass again reset what they lead to."""
        self.up.set_state(up)
        self.down.set_state(down)
        if self.dialling and self.probe is None:
            self._dial_or_wait()
        never_connected = self.down.source is None and not self.dialling
        if self.up.mode is LinkMode.PASS and (self.up.lossy or never_connected):
            self._lift(self.up)
        if self.down.mode is LinkMode.PASS and self.down.lossy:
            self._lift(self.down)

    def reset_both(self) -> None:
        """Reset both ends at once, whatever the states: connections are refused, or the relay ends."""
        self._closing = True
        self._stop_dialling()
        for transport in (self.up.source, self.down.source):
            if transport is not None:
                reset(transport)
        self._forget_if_over()

    def close_both(self) -> None:
        """Close both ends at once, in good order; what is still held here is dropped."""
        self._closing = True
        self._stop_dialling()
        for transport in (self.up.source, self.down.source):
            if transport is not None:
                transport.abort()  # without lingering 0 that is a FIN, and it waits for no stalled receiver
        self._forget_if_over()

    # -- inside ------------------------------------------------------------------------------------

    def _lift(self, flow: Flow) -> None:
        """The reset of the end this flow leads to; that end's absence then travels back by itself."""
        target = flow.sink
        flow.detach()
        if target is not None:
            reset(target)
        else:
            flow.twin.send_reset()

    def _begin_dial(self) -> None:
        self._dial_later = False
        self.dialling = True
        self._dial_task = self.loop.create_task(self._dial())

    def _dial_or_wait(self) -> None:
        """What the state of the way to the node means for a dial that is not over."""
        if self.up.mode is LinkMode.PASS:
            if self._dial_later:
                self._begin_dial()
            return
        self._stop_dialling()
        if self.up.mode is LinkMode.HOLD and not self.dialling:
            self.dialling = self._dial_later = True

    def _stop_dialling(self) -> None:
        """Give up a dial; one whose handshake is over goes on, for the node has the connection already."""
        if self._dial_later:
            self._dial_later = self.dialling = False
        if self._dial_task is None or _is_connected(self._dial_socket):
            return
        self._dial_task.cancel()
        self._dial_task = None
        self.dialling = False

    def _make_uncounted(self, probe: Probe) -> None:
        for flow, upstream in ((self.up, True), (self.down, False)):
            flow.count_nothing(Tally(-1))
            flow.draw_from(partial(probe.draws, upstream))
        probe.connection = self

    async def _dial(self) -> None:
        """Connect to the node (or to a probe's far end), out of the accept loop."""
        try:
            sock = await (self.probe.far_socket() if self.probe is not None else self._node_socket())
        except OSError:
            self._dial_task = None
            self.dialling = False
            self.link.dial_failed(self)
            self._forget_if_over()
            return
        self._dial_task = self._dial_socket = None  # connected: from here on nobody cancels it
        transport, _ = await self.loop.create_connection(lambda: self.down, sock=sock)
        self._join(transport)

    def _join(self, transport: asyncio.Transport) -> None:
        """The node's end is there. Never sooner: uvloop would close twice what is aborted before it was handed over."""
        self.dialling = False
        if self._closing or self.link.refusing:
            self._closing = True
            reset(transport)
        elif not transport.is_closing():
            self.down.use(transport)
        self._forget_if_over()

    def _forget_if_over(self) -> None:
        if self.up.source is None and self.down.source is None and not self.dialling:
            self.link.connections.discard(self)
            self.link.toxics.leave(self.up, self.down)

    async def _node_socket(self) -> socket.socket:
        return await self.link.dial(self._keep)

    def _keep(self, sock: socket.socket) -> None:
        self._dial_socket = sock


def _is_connected(sock: socket.socket | None) -> bool:
    try:
        return sock is not None and bool(sock.getpeername())
    except OSError:
        return False
