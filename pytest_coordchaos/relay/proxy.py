"""A proxy of Toxiproxy's API that belongs to no cluster: an address to listen on, one to dial, and toxics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from pytest_coordchaos.faults.model import PASS, FrameRule
from pytest_coordchaos.relay.connection import Connection
from pytest_coordchaos.relay.flow import Flow
from pytest_coordchaos.relay.frame_stage import FrameStage
from pytest_coordchaos.relay.framing import Framer, framer_pair
from pytest_coordchaos.relay.listen_address import AddressError, listen_on, resolve, shown
from pytest_coordchaos.relay.probe import Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.toxics.collection import Toxics
from pytest_coordchaos.runtimes.doors import dial_through
from pytest_coordchaos.system.protocols import GREETING

__all__ = ["Proxy"]


class Proxy:
    """One proxy. It keeps the contract of `connection.Way`.

    Args:
        name: Its name.
        listen: Where to listen, as it was asked for; once it has listened, where it does, resolved.
        upstream: Where to dial, resolved for each connection anew.
        protocol: How its bytes are cut into messages.
        store: Where its messages are counted.
        seed: Seed of what its toxics draw.

    Attributes:
        enabled: It listens.
        toxics: Those of its connections; they survive that it is disabled.
        connections: Open ones.
    """

    def __init__(self, *, name: str, listen: str, upstream: str, protocol: str, store: Store, seed: str) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.protocol = protocol
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.toxics = Toxics(f"{seed}/{name}")
        self.up_tally, self.down_tally = Tally(0), Tally(1)
        self.up_state = self.down_state = PASS
        self.connections: set[Connection] = set()
        self.enabled = False
        self._server: asyncio.Server | None = None

    @property
    def refusing(self) -> bool:
        """It is disabled."""
        return not self.enabled

    @property
    def greets(self) -> bool:
        """Its far end says things that are no replies."""
        return self.protocol in GREETING

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self.connections)

    async def start(self) -> None:
        """Listen; nothing to do if it does.

        Raises:
            AddressError: It cannot.
        """
        if self.enabled:
            return
        sock = await listen_on(self.listen)
        self.listen = shown(sock.getsockname())
        self.enabled = True
        accept: Callable[[], Flow] = self._accept
        self._server = await self.loop.create_server(accept, sock=sock, backlog=1024)

    def stop(self) -> None:
        """Refuse connections and close the open ones; what toxics hold of them is dropped. Waits for nobody."""
        self.enabled = False
        if self._server is not None:
            self._server.close()
            self._server = None
        for conn in list(self.connections):
            conn.close_both()

    async def update(self, *, listen: str, upstream: str, enabled: bool) -> None:
        """Change it. It is stopped and started again only where listen or upstream really differ.

        Raises:
            AddressError: The new listen is no address (nothing was changed), or it cannot listen there (it is disabled).
        """
        if await self.differs(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled:
            await self.start()
        else:
            self.stop()

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether these are not its addresses, names resolved.

        Raises:
            AddressError: The listen is no address.
        """
        resolved = shown((await resolve(listen))[0][1]) if listen else ""
        return resolved != self.listen or upstream != self.upstream

    def framers(self) -> tuple[Framer, Framer]:
        """Fresh framers of a connection's two directions."""
        return framer_pair(self.protocol, {})

    def frame_stage(self, tally: Tally, rules: Sequence[FrameRule], begun: tuple[bytes, int]) -> FrameStage | None:
        """None: faults on frames are a cluster's."""
        return None

    def probe_from(self, address: tuple[str, int]) -> Probe | None:
        """None: probes belong to links."""
        return None

    async def dial(self, dialling: Callable[[socket.socket], None]) -> socket.socket:
        """A socket connected to the first address of the upstream that answers. OSError: none does."""
        try:
            known = await resolve(self.upstream)
        except AddressError as error:
            raise OSError(str(error)) from None
        failed: OSError = OSError("it has no address")
        for family, there in known:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            dialling(sock)
            try:
                return await dial_through(sock, "", there)
            except OSError as error:
                failed = error
        raise failed

    def dial_failed(self, conn: Connection) -> None:
        """The dialler sees the end of the stream."""
        conn.close_both()

    def _accept(self) -> Flow:
        return Connection(self).up
