"""One address on which links accept. Several links may share it: they are told apart by who dials."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.ports import HeldPort
from pytest_coordchaos.relay.sharing import link_from, rival_of
from pytest_coordchaos.relay.transports import reset
from pytest_coordchaos.runtimes.doors import Doors

if TYPE_CHECKING:
    from pytest_coordchaos.relay.link import Link
    from pytest_coordchaos.relay.probe import Probe

__all__ = ["Listening"]

_BACKLOG = 1024


class Listening:
    """A held port that listens unless every link on it refuses.

    Where only some of several links refuse, their diallers are accepted and reset at once: one listening socket cannot
    refuse by source.

    Args:
        port: The held port.
        door: The door behind which it lies; "": this process's own namespace.
        doors: Where sockets come from.

    Attributes:
        links: Those that accept here.
    """

    def __init__(self, port: HeldPort, door: str, doors: Doors) -> None:
        self.links: list[Link] = []
        self._port = port
        self._door = door
        self._doors = doors
        self._server: asyncio.Server | None = None
        self._only: Link | None = None
        self._expected: dict[tuple[str, int], tuple[Link, Probe]] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or would if it did not refuse."""
        return self._port.address

    @property
    def shared(self) -> bool:
        """Connections must be told apart by their source: they are accepted before it is known whose they are."""
        return self._only is None

    def rival(self, sources: tuple[str, ...]) -> Link | None:
        """A link whose diallers could not be told from these (none given: everybody else)."""
        return rival_of(self.links, sources)

    def join(self, link: Link) -> None:
        """Accept for this link too."""
        self.links.append(link)
        self._choose()

    def leave(self, link: Link) -> bool:
        """Accept for it no longer; True when nobody is left, and the port has been given back."""
        if link in self.links:
            self.links.remove(link)
        self._choose()
        if self.links:
            return False
        self.stop()
        self._port.close()
        return True

    async def update(self) -> None:
        """Listen, or refuse if every link does. OSError: the port was taken by force, or the door is gone."""
        if all(link.refusing for link in self.links):
            self.stop()
        elif self._server is None:
            family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
            fresh = await self._doors.fresh(self._door, family) if self._door else None
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, sock=self._port.listener(fresh), backlog=_BACKLOG)

    def stop(self) -> None:
        """Refuse."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def expect(self, address: tuple[str, int], link: Link, probe: Probe) -> None:
        """The connection that comes from this address is a probe of this link."""
        self._expected[address] = link, probe

    def forget(self, address: tuple[str, int]) -> Probe | None:
        """The probe expected from this address, which is expected no longer; None for everybody else's."""
        found = self._expected.pop((address[0], address[1]), None) if self._expected and address else None
        return None if found is None else found[1]

    def link_of(self, peer: tuple[str, int]) -> Link | None:
        """Whose dialler this is; None: nobody's."""
        expected = self._expected.get((peer[0], peer[1]))
        return expected[0] if expected is not None else link_from(self.links, peer[0])

    def _choose(self) -> None:
        self._only = self.links[0] if len(self.links) == 1 and not self.links[0].spec.sources else None

    def _accept(self) -> asyncio.BaseProtocol:
        return Connection(self._only).up if self._only is not None else _Greeter(self)


class _Greeter(asyncio.Protocol):
    """Hands a connection over to its link, before any byte of it is read."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        link = self._listening.link_of(accepted.get_extra_info("peername"))
        if link is None:
            reset(accepted)
            return
        flow = Connection(link).up
        accepted.set_protocol(flow)
        flow.connection_made(accepted)
