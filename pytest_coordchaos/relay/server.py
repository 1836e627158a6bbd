"""The relay put together: links, their store, the watch for bypasses, the probes' far end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import DirectionState
from pytest_coordchaos.faults.triggers import MessageTrigger
from pytest_coordchaos.relay.breakpoint import Breakpoint
from pytest_coordchaos.relay.bypass import NOT_AVAILABLE, POLL_S, BypassWatch
from pytest_coordchaos.relay.bypass_namespaces import NOT_READABLE, NamespaceWatch
from pytest_coordchaos.relay.datagram_listening import DatagramListening
from pytest_coordchaos.relay.datagram_probe import probe_datagrams
from pytest_coordchaos.relay.datagrams import DatagramLink
from pytest_coordchaos.relay.link import Link
from pytest_coordchaos.relay.listening import Listening
from pytest_coordchaos.relay.ports import HeldPort, PortChooser
from pytest_coordchaos.relay.probe import Asked, FarEnd, probe_link
from pytest_coordchaos.relay.store import Store, Window
from pytest_coordchaos.relay.wire import Address, LinkCounts, LinkSpec, Mark, ProbeResult, is_loopback
from pytest_coordchaos.runtimes.doors import Doors

__all__ = ["Conflict", "LedgerPart", "Relay", "UnknownLink"]

AnyLink = Link | DatagramLink


class UnknownLink(LookupError):
    """There is no link of that name."""


class Conflict(ValueError):
    """Two links of one name, or a port that is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPart:
    """What of a ledger the relay alone knows."""

    window: Window
    bypasses: list[str]
    note: str


class Relay:
    """All links of one cluster. Every method returns without waiting for any node or client.

    Args:
        seed: Seed of the choice of ports.
        toxic_seed: Seed of what toxics draw, and of the fates of frames; default: `seed`.
        max_messages: How many messages the ledger keeps.

    Attributes:
        doors: Where sockets of other network namespaces come from.
    """

    def __init__(self, *, seed: str, max_messages: int, toxic_seed: str | None = None) -> None:
        self.links: dict[LinkId, AnyLink] = {}
        self.store = Store(max_messages)
        self._seed = seed if toxic_seed is None else toxic_seed
        self._ports = PortChooser(seed)
        self._listenings: dict[tuple[str, Address], Listening] = {}
        self._datagram_listenings: dict[tuple[str, Address], DatagramListening] = {}
        self.doors = Doors()
        self._watch = BypassWatch(self._dials)
        self.namespaces = NamespaceWatch()
        self._far_end = FarEnd()
        self._holds: dict[int, Breakpoint] = {}
        self._turn = asyncio.Lock()  # guards changes of state, never a probe or a connection
        self._poll = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def add_links(self, specs: Sequence[LinkSpec]) -> dict[LinkId, Address]:
        """Make links; all of them listen when this returns, or none was made.

        Raises:
            Conflict: A name is used twice, or a port is taken.
        """
        async with self._turn:
            self._check_names(specs)
            made: list[AnyLink] = []
            try:
                for spec in specs:
                    made.append(await self._make(spec, 2 * (len(self.links) + len(made))))
                    await made[-1].open()
            except (OSError, Conflict) as error:
                for link in made:
                    self._end(link)
                if isinstance(error, Conflict):
                    raise
                host, port = specs[min(len(made), len(specs)) - 1].listen
                raise Conflict(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
            self.links.update((link.spec.link, link) for link in made)
            streams = [spec for spec in specs if spec.transport == "tcp"]  # sockets of datagrams name no peer
            self.namespaces.add(spec for spec in streams if spec.dial_door or (spec.node and not is_loopback(spec.node[0])))
            await self._watch.add(streams)
            return {link.spec.link: link.address for link in made}

    async def apply(self, states: Mapping[LinkId, tuple[DirectionState, DirectionState]]) -> list[ProbeResult]:
        """Put states in force and prove them.

        Raises:
            UnknownLink: Nothing was changed.
            Conflict: Faults on frames for a link whose frames are not independent; nothing was changed.
        """
        links = [self._link(name) for name in states]
        for link, (up, down) in zip(links, states.values(), strict=True):
            if (up.frames or down.frames) and not link.takes_frames:
                raise Conflict(f"link {link.spec.link} speaks {link.spec.protocol}: its frames are not independent of each other")
        async with self._turn:
            asked = [await link.set_states(up, down) for link, (up, down) in zip(links, states.values(), strict=True)]
        probed = await asyncio.gather(*(self._probe(link, a) for link, a in zip(links, asked, strict=True)))
        return [result for results in probed for result in results]

    async def hold_at(self, trigger: MessageTrigger, timeout_s: float) -> int | None:
        """Wait for a message between nodes, and hold it; returns the hold's number, None when it did not come in time."""
        point = Breakpoint(trigger, self.proxied(), self.store)
        try:
            async with asyncio.timeout(timeout_s):
                await point.came.wait()
        except BaseException as error:
            point.remove()
            if isinstance(error, TimeoutError):
                return None
            raise
        number = len(self._holds)
        self._holds[number] = point
        return number

    def release(self, hold: int) -> None:
        """Let a message that is held go on. Idempotent. UnknownLink: there is no such hold."""
        if hold not in self._holds:
            raise UnknownLink(f"there is no hold {hold}")
        self._holds[hold].remove()

    def reset_node(self, node: str) -> int:
        """Reset the node's end of every connection to it; returns how many there were."""
        return sum(link.reset_node_ends() for name, link in self.links.items() if name.target == node)

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        await self._look()
        self.store.settle()
        totals = [tally.totals() for link in self.links.values() for tally in (link.up_tally, link.down_tally)]
        return Mark(time_ns=monotonic_ns(), row=self.store.next_row, totals=tuple(totals))

    def ledger(self, since: tuple[int, int], until: tuple[int, int]) -> LedgerPart:
        """Messages and bypasses between two positions (row, time_ns)."""
        window = self.store.window(since[0], until[0])
        notes = []
        if window.missing:
            notes.append(
                f"the relay keeps {self.store.max_messages} messages: {window.missing} older ones of this window are lost"
            )
        if not self._watch.available:
            notes.append(NOT_AVAILABLE)
        if not self.namespaces.available:
            notes.append(NOT_READABLE)
        bypasses = [words for watch in (self._watch, self.namespaces) for words in watch.seen(since[1], until[1])]
        return LedgerPart(window=window, bypasses=bypasses, note="; ".join(notes))

    def live(self) -> list[LinkCounts]:
        """Counts of each link since it was made."""
        self.store.settle()
        return [_counts(link) for link in self.links.values()]

    def proxied(self) -> list[Link]:
        """The links that the Toxiproxy API shows: that knows TCP alone."""
        return [link for link in self.links.values() if isinstance(link, Link)]

    async def close(self) -> None:
        """End every link and connection."""
        self._poll.cancel()
        self._far_end.close()
        for link in self.links.values():
            link.close()
        self.doors.close()

    def _dials(self) -> dict[Address, int]:
        """Connections begun towards nodes behind a second hop. Called from the thread that looks."""
        dials: dict[Address, int] = {}
        for link in list(self.links.values()):
            if link.spec.node is not None:
                dials[link.spec.node] = dials.get(link.spec.node, 0) + link.dials
        return dials

    async def _look(self) -> None:
        await self._watch.look()
        await self.namespaces.look()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _probe(self, link: AnyLink, asked: Asked) -> list[ProbeResult]:
        if isinstance(link, Link):
            return await probe_link(link, self._far_end, asked)
        return await probe_datagrams(link, self._far_end, asked)

    def _link(self, name: LinkId) -> AnyLink:
        try:
            return self.links[name]
        except KeyError:
            raise UnknownLink(f"there is no link {name}") from None

    def _check_names(self, specs: Sequence[LinkSpec]) -> None:
        seen: set[LinkId] = set(self.links)
        for spec in specs:
            if spec.link in seen:
                raise Conflict(f"link {spec.link} exists already")
            if spec.listen == spec.upstream:
                host, port = spec.listen
                raise Conflict(f"link {spec.link} would lead to itself: it is to listen on its own upstream {host}:{port}")
            seen.add(spec.link)

    async def _make(self, spec: LinkSpec, way: int) -> AnyLink:
        if spec.transport == "udp":
            return await self._make_datagrams(spec, way)
        listening = await self._listening(spec)
        _check_rival(spec, listening.rival(spec.sources))
        link = Link(spec, listening, self.doors, self.store, (way, way + 1), seed=self._seed)
        if spec.dial_door:
            link.node_has_ended = partial(self.namespaces.has_ended, spec.link.target)
        return link

    async def _make_datagrams(self, spec: LinkSpec, way: int) -> DatagramLink:
        listening = await self._datagram_listening(spec)
        _check_rival(spec, listening.rival(spec.sources))
        link = DatagramLink(spec, listening, self.doors, self.store, (way, way + 1), seed=self._seed)
        if spec.dial_door:
            link.node_has_ended = partial(self.namespaces.has_ended, spec.link.target)
        return link

    async def _datagram_listening(self, spec: LinkSpec) -> DatagramListening:
        """Where a link's diallers send to: a port of its own, or one where others' send to already."""
        (host, port), door = spec.listen, spec.listen_door
        found = self._datagram_listenings.get((door, spec.listen))
        if found is None:
            sock = await self.doors.fresh(door, socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                held = HeldPort(host, port, sock) if port else self._ports.hold(host, sock)
            except OSError:
                sock.close()
                raise
            found = self._datagram_listenings[door, held.address] = DatagramListening(sock)
        return found

    async def _listening(self, spec: LinkSpec) -> Listening:
        """Where a link accepts: a port of its own, or one where links from other diallers accept already."""
        (host, port), door = spec.listen, spec.listen_door
        found = self._listenings.get((door, spec.listen))
        if found is None:
            sock = await self.doors.fresh(door, socket.AF_INET6 if ":" in host else socket.AF_INET) if door else None
            try:
                held = HeldPort(host, port, sock) if port else self._ports.hold(host, sock)
            except OSError:
                if sock is not None:
                    sock.close()
                raise
            found = self._listenings[door, held.address] = Listening(held, door, self.doors)
        return found

    def _end(self, link: AnyLink) -> None:
        place = link.spec.listen_door, link.address
        if not link.close():
            return
        if isinstance(link, Link):
            del self._listenings[place]
        else:
            del self._datagram_listenings[place]


def _check_rival(spec: LinkSpec, rival: AnyLink | None) -> None:
    if rival is not None:
        host, port = spec.listen
        raise Conflict(f"cannot listen on {host}:{port}: link {spec.link} could not be told from {rival.spec.link} there")


def _counts(link: AnyLink) -> LinkCounts:
    up, down = link.up_tally, link.down_tally
    return LinkCounts(
        link=link.spec.link,
        open_connections=link.open_connections,
        upstream_messages=up.messages,
        downstream_messages=down.messages,
        upstream_bytes=up.offered,
        downstream_bytes=down.offered,
        delivered_bytes=up.delivered + down.delivered,
        saturated=up.saturated + down.saturated,
    )
