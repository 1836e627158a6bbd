"""One directed link: a listener, the connections through it, and the state of its two directions."""

from __future__ import annotations

import asyncio

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.listening import Listening
from pytest_coordchaos.relay.probe import Asked, Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.transports import reset
from pytest_coordchaos.relay.wire import LinkSpec
from pytest_coordchaos.runtimes.doors import Doors

__all__ = ["Link"]


class Link:
    """A directed edge in force.

    Args:
        spec: What it joins.
        listening: Where it accepts; others may accept there too.
        doors: Where sockets of other network namespaces come from.
        store: Where its messages are kept.
        ways: Numbers of its upstream and downstream way.

    Attributes:
        up_state, down_state: The states in force.
        connections: Open ones, also those whose one end is gone and whose other must not know yet.
        version: Grows with every change of state.
    """

    def __init__(self, spec: LinkSpec, listening: Listening, doors: Doors, store: Store, ways: tuple[int, int]) -> None:
        self.spec = spec
        self.listening = listening
        self.doors = doors
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.up_tally, self.down_tally = Tally(ways[0]), Tally(ways[1])
        self.up_state = self.down_state = PASS
        self.connections: set[Connection] = set()
        self.version = 0
        listening.join(self)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or would if it did not refuse."""
        return self.listening.address

    @property
    def refusing(self) -> bool:
        """Connections are refused: one of the two directions says so."""
        return LinkMode.REFUSE in (self.up_state.mode, self.down_state.mode)

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
