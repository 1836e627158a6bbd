"""The simulated network: machines by name, listeners, links made when first dialled, connections set up and torn down."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from contextvars import copy_context
from itertools import count
from typing import Any

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState
from pytest_coordchaos.runtimes.sim.datagrams import SimDatagramTransport
from pytest_coordchaos.runtimes.sim.dialling import Dialling
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.link import Link, NetworkModel, Timing, Way
from pytest_coordchaos.runtimes.sim.node import SimNode
from pytest_coordchaos.runtimes.sim.server import SimServer
from pytest_coordchaos.runtimes.sim.tape import Stream
from pytest_coordchaos.runtimes.sim.transport import SimTransport

__all__ = ["CLIENTS", "CLIENT_HOST", "PROBE_HOST", "Network"]

CLIENTS = "clients"
CLIENT_HOST, PROBE_HOST = "10.0.1.1", "10.0.2.1"

_EPHEMERAL = 40_000
_SELF = Timing(base_ns=10_000)
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_ANY_HOSTS = ("", "0.0.0.0", "::")

States = tuple[DirectionState, DirectionState]


class Network:
    """All machines and links.

    Args:
        loop: The kernel.
        ledger: Told of what is sent.
        model: How long things take.
        draws: The stream of chance.
        names: The nodes' names, in order; node k has address 10.0.0.k.
        ports: Port number -> (name, protocol, classes) of the ports that are declared.
    """

    def __init__(
        self,
        loop: Kernel,
        ledger: SimLedger,
        model: NetworkModel,
        draws: Stream,
        names: tuple[str, ...],
        ports: Mapping[int, tuple[str, str, Mapping[int, str]]],
    ) -> None:
        self.loop = loop
        self.ledger = ledger
        self.model = model
        self.draws = draws
        self.hosts = {name: f"10.0.0.{number}" for number, name in enumerate(names, start=1)}
        self.lives: list[SimNode] = []  # dead ones too: what they left must not be collected, or its clean-up would run
        self.unpowered: set[str] = set()
        self._names = {host: name for name, host in self.hosts.items()}
        self._ports = ports
        self._links: dict[tuple[str, str, int], Link] = {}
        self._states: dict[LinkId | tuple[str, str], States] = {}
        self._servers: dict[tuple[str, int], SimServer] = {}
        self._ends: dict[str, dict[SimTransport, None]] = {}
        self._ephemeral = count(_EPHEMERAL)
        self._datagrams: dict[tuple[str, int], SimDatagramTransport] = {}

    # -- names -------------------------------------------------------------------------------------

    def resolve(self, host: str | bytes | None, asker: SimNode | None) -> str:
        """The numeric address behind a name, as one node sees it.

        Raises:
            socket.gaierror: There is no such machine; the real name service is never asked.
        """
        text = host.decode() if isinstance(host, bytes) else host or ""
        if text in _LOCAL_HOSTS or text in _ANY_HOSTS:
            return CLIENT_HOST if asker is None else self.hosts[asker.name]
        if text in self.hosts:
            return self.hosts[text]
        if text in self._names or text in (CLIENT_HOST, PROBE_HOST):
            return text
        known = ", ".join(self.hosts)
        raise socket.gaierror(socket.EAI_NONAME, f"there is no machine {text!r} in this simulation; it has: {known}")

    # -- links -------------------------------------------------------------------------------------

    def link(self, source: str, target: str, number: int) -> Link:
        """The link of a dialler, a node and a port; made when first needed."""
        key = (source, target, number)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = self._new_link(source, target, number)
        return link

    def _new_link(self, source: str, target: str, number: int) -> Link:
        name, protocol, classes = self._ports.get(number, (str(number), "bytes", {}))
        link = Link(LinkId(source, target, name), protocol, classes)
        if source in (target, PROBE_HOST):
            up, down, timing = None, None, _SELF
        else:
            up, down = self.ledger.new_link(link.id, protocol)
            timing = self.model.clients if source == CLIENTS else self.model.nodes
        link.up, link.down = (Way(link, tally, timing, self.draws) for tally in (up, down))
        for way, state in zip((link.up, link.down), self._states_of(link), strict=True):
            way.set_state(state)
        return link

    def _states_of(self, link: Link) -> States:
        """A port that is not declared has the state of any other of the pair."""
        pair = (link.id.source, link.id.target)
        return self._states.get(link.id) or self._states.get(pair, (PASS, PASS))

    def apply(self, states: Mapping[LinkId, States]) -> None:
        """Put fault states in force, for what is under way too. Ports that are not declared have the pair's state."""
        for link_id, pair in states.items():
            self._states[link_id] = self._states[link_id.source, link_id.target] = pair
        for link in self._links.values():
            for way, state in zip((link.up, link.down), self._states_of(link), strict=True):
                blocked, surely = way.blocked, way.surely_held
                way.set_state(state)
                if blocked and not way.blocked:
                    self._lift(way, resets=0 if surely else self.model.resets)
            if link.up.refused:
                for end in list(link.connections):
                    end.reset_both()

    def _lift(self, way: Way, *, resets: int) -> None:
        """A cut is over: each stream that it held goes on, or one in `resets` is reset."""
        holding, way.holding = way.holding, {}
        kept, way.kept = way.kept, []
        for send_on in kept:
            send_on()
        model, draws = self.model, self.draws
        for end in holding:
            if resets and draws.below(resets) == resets - 1:
                end.reset_both()
            else:
                wait_ns = draws.below(model.longest_retry_ns) if model.longest_retry_ns else 0
                self.loop.call_at_ns(self.loop.now_ns + wait_ns, end.release, context=end.context)

    # -- listening ---------------------------------------------------------------------------------

    def new_server(self, factory: Callable[[], Any], hosts: list[str], number: int) -> SimServer:
        """A server of the node that runs; it does not accept yet.

        Raises:
            OSError: The port is taken.
        """
        owner = self.loop.node
        number = number or next(self._ephemeral)
        addresses = [(host if host not in _ANY_HOSTS else "0.0.0.0", number) for host in dict.fromkeys(hosts)]
        if (_place(owner), number) in self._servers:
            raise OSError(errno.EADDRINUSE, f"{_place(owner)}: port {number} is in use")
        return SimServer(self, owner, addresses, factory, copy_context())

    def listen(self, server: SimServer) -> None:
        """Accept connections for it. Idempotent."""
        if not server.serving:
            server.serving = True
            self._servers[_place(server.owner), server.addresses[0][1]] = server

    def unlisten(self, server: SimServer) -> None:
        """Refuse connections again."""
        server.serving = False
        self._servers.pop((_place(server.owner), server.addresses[0][1]), None)
        server.notify()

    # -- connecting --------------------------------------------------------------------------------

    async def dial(self, host: str, number: int, local_host: str | None = None) -> SimTransport:
        """Connect to a port; the end has no protocol yet.

        Raises:
            OSError: Refused, or no answer for as long as the machine tries.
        """
        loop, caller = self.loop, self.loop.node
        target = self._names.get(self.resolve(host, caller), CLIENTS)
        source = PROBE_HOST if local_host == PROBE_HOST else _place(caller)
        link = self.link(source, target, number)
        answer: asyncio.Future[SimTransport] = loop.create_future()
        own = (CLIENT_HOST if source == CLIENTS else self.hosts.get(source, PROBE_HOST), next(self._ephemeral))
        Dialling(self, link, caller, answer, own, (self.resolve(host, caller), number)).send_syn()
        return await answer

    def server_at(self, node: str, number: int) -> SimServer | None:
        """Who listens there."""
        return self._servers.get((node, number))

    def remember(self, end: SimTransport) -> None:
        """An end exists: it goes down with its node."""
        if end.owner is not None:
            self._ends.setdefault(end.owner.name, {})[end] = None

    def forget(self, end: SimTransport) -> None:
        """An end is over."""
        if end.owner is not None:
            self._ends.get(end.owner.name, {}).pop(end, None)
        end.way.link.connections.pop(end, None)
        server = end.get_extra_info("server")
        if server is not None:
            server.ended(end)

    # -- datagrams ---------------------------------------------------------------------------------

    def bind_datagrams(self, transport: SimDatagramTransport, number: int) -> int:
        """Give a UDP port; returns its number.

        Raises:
            OSError: It is taken.
        """
        number = number or next(self._ephemeral)
        key = (_place(transport.owner), number)
        if key in self._datagrams:
            raise OSError(errno.EADDRINUSE, f"{key[0]}: UDP port {number} is in use")
        self._datagrams[key] = transport
        return number

    def unbind_datagrams(self, transport: SimDatagramTransport) -> None:
        """Take a UDP port back."""
        self._datagrams.pop((_place(transport.owner), transport.number), None)

    def datagram_way(self, sender: SimDatagramTransport, to: tuple[str, int]) -> tuple[Way, SimDatagramTransport | None]:
        """The way of a datagram, and who receives at its end. An answer travels the way back of the link asked on."""
        source = _place(sender.owner)
        target = self._names.get(self.resolve(to[0], sender.owner), CLIENTS)
        answering = to[1] >= _EPHEMERAL
        way = self.link(target, source, sender.number).down if answering else self.link(source, target, to[1]).up
        return way, self._datagrams.get((target, to[1]))

    # -- machines ----------------------------------------------------------------------------------

    def died(self, life: SimNode, *, power: bool) -> None:
        """A node's program is gone. With power the machine resets its connections; without, it says nothing.

        Args:
            life: Which.
            power: The machine lives on.
        """
        node = life.name
        tasks = sorted(asyncio.all_tasks(self.loop), key=hash)
        life.kept += [task for task in tasks if getattr(task, "node", None) is life]
        life.kept += self._ends.get(node, ())
        for udp in [key for key in self._datagrams if key[0] == node]:
            del self._datagrams[udp]
        for key in [key for key in self._servers if key[0] == node]:
            self._servers.pop(key).serving = False
        if power:
            for end in list(self._ends.pop(node, {})):
                end.vanish()
        else:
            self.unpowered.add(node)

    def silence(self) -> None:
        """The world is over: every end is as good as closed, so that nobody closes it again, or complains."""
        ends = [end for ends in self._ends.values() for end in ends]
        for end in [*ends, *(end for link in self._links.values() for end in link.connections)]:
            end.mute()
            if end.peer is not None:
                end.peer.mute()

    def booted(self, node: str) -> None:
        """The machine has power again: peers learn that it knows nothing of their connections."""
        if node in self.unpowered:
            self.unpowered.discard(node)
            for end in list(self._ends.pop(node, {})):
                end.vanish()


def _place(node: SimNode | None) -> str:
    return CLIENTS if node is None else node.name
