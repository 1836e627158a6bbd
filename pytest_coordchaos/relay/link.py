"""One directed link: a listener, the connections through it, and the state of its two directions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from pytest_coordchaos.faults.model import PASS, DirectionState, FrameRule, LinkMode
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.frame_formats import format_of
from pytest_coordchaos.relay.frame_stage import FrameStage, draws_of
from pytest_coordchaos.relay.framing import Framer, framer_pair
from pytest_coordchaos.relay.listening import Listening
from pytest_coordchaos.relay.probe import Asked, Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.toxics.collection import Toxics
from pytest_coordchaos.relay.transports import reset
from pytest_coordchaos.relay.wire import LinkSpec
from pytest_coordchaos.runtimes.doors import Doors, dial_through
from pytest_coordchaos.system.protocols import GREETING, INDEPENDENT

__all__ = ["Link"]


class Link:
    """A directed edge in force.

    Args:
        spec: What it joins.
        listening: Where it accepts; others may accept there too.
        doors: Where sockets of other network namespaces come from.
        store: Where its messages are kept.
        ways: Numbers of its upstream and downstream way.
        seed: Seed of what its toxics draw, and of the fates of its frames.

    Attributes:
        name: Its name as a proxy of the Toxiproxy API.
        toxics: Added by somebody to its connections, beside the states; probes do not meet them.
        enabled: Nobody disabled it as a proxy.
        up_state, down_state: The states in force.
        connections: Open ones, also those whose one end is gone and whose other must not know yet.
        version: Grows with every change of state.
        node_has_ended: Whether the node is known to be dead where a dead node's address does not refuse by itself.
    """

    def __init__(
        self, spec: LinkSpec, listening: Listening, doors: Doors, store: Store, ways: tuple[int, int], *, seed: str
    ) -> None:
        self.spec = spec
        self.name = f"{spec.link.source}.{spec.link.target}.{spec.link.port}"
        self.toxics = Toxics(f"{seed}/{self.name}")
        self.enabled = True
        self.listening = listening
        self.doors = doors
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.up_tally, self.down_tally = Tally(ways[0]), Tally(ways[1])
        self.up_state = self.down_state = PASS
        self.connections: set[Connection] = set()
        self.version = self.dials = 0
        self._draws = [draws_of(f"{seed}:{spec.link}:{way}") for way in ("down", "up")]
        self.node_has_ended: Callable[[], bool] = lambda: False
        self.framers()  # what they load takes tens of milliseconds: not while the first connection waits
        listening.join(self)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or would if it did not refuse."""
        return self.listening.address

    @property
    def refusing(self) -> bool:
        """Connections are refused: one of the two directions says so, or it is disabled as a proxy."""
        return not self.enabled or LinkMode.REFUSE in (self.up_state.mode, self.down_state.mode)

    @property
    def greets(self) -> bool:
        """Its node says things that are no replies."""
        return self.spec.protocol in GREETING

    @property
    def takes_frames(self) -> bool:
        """Its frames are independent of each other."""
        return self.spec.protocol in INDEPENDENT

    @property
    def open_connections(self) -> int:
        """Connections of the system's own, probes left out."""
        return sum(conn.probe is None for conn in self.connections)

    async def open(self) -> None:
        """Listen. OSError: the port was taken by force, or the door is gone."""
        await self.listening.update()

    async def set_states(self, up: DirectionState, down: DirectionState) -> Asked:
        """Put states in force on the listener and on every open connection. Waits for no connection."""
        self.version += 1
        self.up_state, self.down_state = up, down
        asked = Asked(up=up, down=down, version=self.version)
        if self.refusing:
            self.reset_connections()
        else:
            for conn in list(self.connections):
                conn.set_states(up, down)
        await self.listening.update()
        return asked

    async def enable(self, enabled: bool) -> None:
        """Enable or disable it as a proxy; whether it refuses is then for its states to say. OSError: as `open`."""
        self.enabled = enabled
        if not enabled:
            for conn in list(self.connections):
                conn.close_both()
        await self.listening.update()

    def frame_stage(self, tally: Tally, rules: Sequence[FrameRule], begun: tuple[bytes, int]) -> FrameStage | None:
        """What decides the fates of one flow's frames; None: they are not independent. All flows of a direction draw in turn."""
        form = format_of(self.spec.protocol, self.spec.classes)
        draw = self._draws[tally is self.up_tally]
        return FrameStage(form, draw, rules, head=begun[0], rest=begun[1]) if form is not None else None

    def reset_connections(self) -> None:
        """Reset both ends of every connection."""
        for conn in list(self.connections):
            conn.reset_both()

    def reset_node_ends(self) -> int:
        """Reset the node's end of every connection; the dialler learns of it as of any reset."""
        ends = [conn.down.source for conn in list(self.connections) if conn.down.source is not None and conn.probe is None]
        for end in ends:
            reset(end)
        return len(ends)

    def close(self) -> bool:
        """End it: no connection, nothing accepted; True when nobody accepts there any more and the port was given back."""
        given_back = self.listening.leave(self)
        self.reset_connections()
        return given_back

    def expect(self, probe: Probe, address: tuple[str, int]) -> None:
        """The connection that comes from this address is the probe's."""
        self.listening.expect(address, self, probe)

    def probe_from(self, address: tuple[str, int]) -> Probe | None:
        """The probe whose connection this is; None for everybody else's."""
        return self.listening.forget(address)

    def framers(self) -> tuple[Framer, Framer]:
        """Fresh framers of a connection's two directions."""
        return framer_pair(self.spec.protocol, self.spec.classes)

    async def dial(self, dialling: Callable[[socket.socket], None]) -> socket.socket:
        """A socket connected to the node; `dialling` is told of it before. OSError: it refused."""
        family = socket.AF_INET6 if ":" in self.spec.upstream[0] else socket.AF_INET
        if self.node_has_ended():
            raise ConnectionRefusedError("the node is dead")
        sock = await self.doors.fresh(self.spec.dial_door, family)
        dialling(sock)
        self.dials += 1  # before anybody can see it
        try:
            return await dial_through(sock, self.spec.upstream_source, self.spec.upstream)
        except ConnectionRefusedError:
            self.dials -= 1
            raise

    def dial_failed(self, conn: Connection) -> None:
        """Refused: it must look so to the dialler, not like a clean end."""
        conn.down.send_reset()
