"""One directed link: a listener, the connections through it, and the state of its two directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.flow import Flow
from pytest_coordchaos.relay.ports import HeldPort
from pytest_coordchaos.relay.probe import Asked, Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.transports import reset
from pytest_coordchaos.relay.wire import LinkSpec

__all__ = ["Link"]

_BACKLOG = 1024


class Link:
    """A directed edge in force.

    Args:
        spec: What it joins.
        port: The held port it listens on.
        store: Where its messages are kept.
        ways: Numbers of its upstream and downstream way.

    Attributes:
        up_state, down_state: The states in force.
        connections: Open ones, also those whose one end is gone and whose other must not know yet.
        version: Grows with every change of state.
    """

    def __init__(self, spec: LinkSpec, port: HeldPort, store: Store, ways: tuple[int, int]) -> None:
        self.spec = spec
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.up_tally, self.down_tally = Tally(ways[0]), Tally(ways[1])
        self.up_state = self.down_state = PASS
        self.connections: set[Connection] = set()
        self.version = 0
        self._port = port
        self._server: asyncio.Server | None = None
        self._probes: dict[tuple[str, int], Probe] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or would if it did not refuse."""
        return self._port.address

    @property
    def refusing(self) -> bool:
        """Connections are refused: one of the two directions says so."""
        return LinkMode.REFUSE in (self.up_state.mode, self.down_state.mode)

    @property
    def open_connections(self) -> int:
        """Connections of the system's own, probes left out."""
        return sum(conn.probe is None for conn in self.connections)

    async def open(self) -> None:
        """Listen. OSError: the port was taken by force."""
        factory: Callable[[], Flow] = self._accept
        self._server = await self.loop.create_server(factory, sock=self._port.listener(), backlog=_BACKLOG)

    async def set_states(self, up: DirectionState, down: DirectionState) -> Asked:
        """Put states in force on the listener and on every open connection. Waits for no connection."""
        self.version += 1
        self.up_state, self.down_state = up, down
        asked = Asked(up=up, down=down, version=self.version)
        if self.refusing:
            self._stop_listening()
            self.reset_connections()
            return asked
        for conn in list(self.connections):
            conn.set_states(up, down)
        if self._server is None:
            await self.open()
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

    def close(self) -> None:
        """End it: no listener, no connection, the port given back."""
        self._stop_listening()
        self.reset_connections()
        self._port.close()

    def expect(self, probe: Probe, address: tuple[str, int]) -> None:
        """The connection that comes from this address is the probe's."""
        self._probes[address] = probe

    def probe_from(self, address: tuple[str, int]) -> Probe | None:
        """The probe whose connection this is; None for everybody else's."""
        return self._probes.pop((address[0], address[1]), None) if self._probes and address else None

    def _accept(self) -> Flow:
        return Connection(self).up

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
