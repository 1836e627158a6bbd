"""Traffic that goes round the relay: seen in the kernel's table of sockets.

The relay dials nodes from local addresses of its own. Any other connection to a node's real
address is a bypass, and a partition that somebody walks around proves nothing. A node that talks
to itself (same process group) crosses no link and is none. Nor is what a second hop between relay and
node has made (see `second_hop`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic_ns

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.relay.second_hop import Key, SecondHops
from pytest_coordchaos.relay.sockets_table import ANY, Owner, TcpSocket, owners_of, parse_table, read_tables
from pytest_coordchaos.relay.wire import Address, LinkSpec

__all__ = ["NOT_AVAILABLE", "BypassWatch"]

NOT_AVAILABLE = "bypass detection is not available on this platform"
POLL_S = 0.25

_LISTEN, _TIME_WAIT = 0x0A, 0x06
_NO_DATA = frozenset({0x02, 0x03, 0x07, 0x0C, _LISTEN})  # SYN_SENT, SYN_RECV, CLOSE, NEW_SYN_RECV
_GAP_NS = 2_000_000_000  # unseen for longer: the same addresses are another connection
_MAX_SIGHTINGS = 1000


@dataclass(slots=True)
class _Sighting:
    first_ns: int
    last_ns: int
    words: str


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A connection to a node's address that is not the relay's."""

    node: Address
    foreign: Address
    inode: int  # of the foreign end; 0: not known
    closed: bool


class BypassWatch:
    """Remembers every connection to a node that is not the relay's, and when it was seen.

    Args:
        dials: How many connections the relay has begun towards each node behind a second hop.

    Attributes:
        available: The kernel's table can be read here.
    """

    def __init__(self, dials: Callable[[], Mapping[Address, int]] = dict) -> None:
        self.available = True
        self._nodes: dict[Address, LinkId] = {}
        self._sources: dict[Address, set[str]] = {}
        self._hops = SecondHops(dials)
        self._sightings: dict[Key, list[_Sighting]] = {}
        self._count = 0
        self._ignored: set[Key] = set()  # a node's talk with itself, and what was over before we watched
        self._looked_at: set[Address] = set()
        self._turn = asyncio.Lock()

    async def add(self, specs: Iterable[LinkSpec]) -> None:
        """Watch the nodes these links lead to. What is over by now (another cluster's, on the same port) is nobody's."""
        for spec in (spec for spec in specs if not spec.dial_door):  # other namespaces have tables of their own
            node = spec.node or spec.upstream
            self._nodes.setdefault(node, spec.link)
            self._sources.setdefault(node, set()).add(spec.upstream_source)
            if spec.node is not None:
                self._hops.add(node, spec.upstream)
        await self.look()

    async def look(self) -> None:
        """Look at the table now. The table is read by a thread: traffic does not wait for it."""
        async with self._turn:
            if self.available and self._nodes:
                await asyncio.get_running_loop().run_in_executor(None, self._look)

    def seen(self, start_ns: int, end_ns: int) -> list[str]:
        """One sentence for each bypass seen in the window."""
        found = [s for sightings in self._sightings.values() for s in sightings if s.first_ns <= end_ns and s.last_ns >= start_ns]
        return [s.words for s in sorted(found, key=lambda s: s.first_ns)]

    def _look(self) -> None:
        try:
            text = read_tables()
        except OSError:
            self.available = False
            return
        now = monotonic_ns()
        nodes = dict(self._nodes)
        ports = {port for _, port in (*nodes, *self._hops.places)}
        table = parse_table(text, ports)
        suspects = {(s.node, s.foreign): s for s in self._suspects(table, nodes)}
        over = {key for key, s in suspects.items() if s.closed and s.node not in self._looked_at}
        self._hops.took_over(over, now)
        self._ignored &= suspects.keys()
        self._ignored |= over
        self._looked_at |= nodes.keys()
        fresh = {key: s for key, s in suspects.items() if key not in self._ignored and not self._extend(key, s, now)}
        for key in self._hops.known({key: s.inode for key, s in fresh.items()}):
            self._ignored.add(key)
            self._hops.may_be(key, None, now)
            del fresh[key]
        if fresh:
            self._complete(fresh, ports, nodes)
            self._judge(fresh, table, now)
        for node, number in self._hops.excess(suspects, now).items():
            self._keep((node, ("more", number)), now, self._more_words(node, number, now))

    def _complete(self, fresh: dict[Key, _Suspect], ports: set[int], nodes: dict[Address, LinkId]) -> None:
        """Look again for diallers' ends that were not there: the kernel gives its table in pieces, and may miss what moves."""
        if all(suspect.inode or suspect.closed for suspect in fresh.values()):
            return
        with contextlib.suppress(OSError):
            for suspect in self._suspects(parse_table(read_tables(), ports), nodes):
                if (key := (suspect.node, suspect.foreign)) in fresh and suspect.inode:
                    fresh[key] = suspect

    def _suspects(self, table: list[TcpSocket], nodes: dict[Address, LinkId]) -> list[_Suspect]:
        """Those ends of connections that reach a node from elsewhere than the relay; the dialler's ends last."""
        listening = {sock.local for sock in table if sock.state == _LISTEN}
        by_port = {port for host, port in listening if host in ANY}
        anywhere = {node[1]: node for node in nodes if node[1] in by_port and node not in listening}
        accepted, dialled = [], []
        for sock in table:
            if sock.state in _NO_DATA:
                continue
            closed = sock.state == _TIME_WAIT
            node = sock.local if sock.local in nodes else anywhere.get(sock.local[1])
            if node is not None and sock.remote[0] not in self._sources[node]:
                accepted.append(_Suspect(node, sock.remote, 0, closed))
            if sock.remote in nodes and sock.local[0] not in self._sources[sock.remote]:
                dialled.append(_Suspect(sock.remote, sock.local, sock.inode, closed))
        return accepted + dialled

    def _extend(self, key: tuple[Address, Address], suspect: _Suspect, now: int) -> bool:
        """Whether this one is known; what lingers in TIME_WAIT carries nothing any more, and is not seen again."""
        sightings = self._sightings.get(key)
        if not sightings:
            return False
        if suspect.closed:
            return True
        if now - sightings[-1].last_ns > _GAP_NS:
            return False
        sightings[-1].last_ns = now
        return True

    def _judge(self, fresh: dict[tuple[Address, Address], _Suspect], table: list[TcpSocket], now: int) -> None:
        listeners = {sock.local: sock.inode for sock in table if sock.state == _LISTEN}
        any_listeners = {sock.local[1]: sock.inode for sock in table if sock.state == _LISTEN and sock.local[0] in ANY}
        servers = {node: listeners.get(node) or any_listeners.get(node[1], 0) for node, _ in fresh}
        hops = {listeners.get(place, 0) for place in self._hops.places}
        owners = owners_of({s.inode for s in fresh.values()} | set(servers.values()) | hops)
        self._hops.listens(owners[inode] for inode in hops if inode in owners)
        for key, suspect in fresh.items():
            dialler, server = owners.get(suspect.inode), owners.get(servers[suspect.node])
            to_itself = dialler is not None and server is not None and dialler.group == server.group
            if to_itself or (suspect.node in self._hops and self._hops.may_be(key, dialler, now)):
                self._ignored.add(key)
            else:
                self._keep(key, now, self._words(suspect, dialler, now))

    def _keep(self, key: Key, now: int, words: str) -> None:
        if self._count < _MAX_SIGHTINGS:
            self._count += 1
            self._sightings.setdefault(key, []).append(_Sighting(now, now, words))

    def _words(self, suspect: _Suspect, dialler: Owner | None, now: int) -> str:
        who = f" (pid {dialler.pid}, {dialler.program})" if dialler else ""
        foreign = f"{suspect.foreign[0]}:{suspect.foreign[1]}{who}"
        return f"{self._reached(suspect.node)} from {foreign}, first seen at {now / 1e9:.3f} s"

    def _more_words(self, node: Address, number: int, now: int) -> str:
        times = "once" if number == 1 else f"{number} times"
        return f"{self._reached(node)} {times}, by connections the relay did not ask for, first seen at {now / 1e9:.3f} s"

    def _reached(self, node: Address) -> str:
        link = self._nodes[node]
        return f"port {link.port} of {link.target} ({node[0]}:{node[1]}) was reached round the relay"
