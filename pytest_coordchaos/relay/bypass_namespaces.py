"""Traffic that goes round the relay between nodes that have network namespaces of their own (containers).

This process's table of sockets does not show theirs; each namespace's own does, by /proc/<pid>/net of any process in it.
A node may be connected to the relay's addresses and to itself. Anything that reaches a declared port from elsewhere, and any
connection with another node, whatever its ports, is a bypass: also of a service that announces its own address.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic_ns

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.relay.sockets_table import TcpSocket, parse_table, read_tables
from pytest_coordchaos.relay.wire import Address, LinkSpec

__all__ = ["NOT_READABLE", "NamespaceWatch"]

NOT_READABLE = "bypass detection is not available: the tables of sockets of the nodes' networks cannot be read here"

_TIME_WAIT = 0x06
_NO_DATA = frozenset({0x02, 0x03, 0x07, 0x0A, 0x0C})  # SYN_SENT, SYN_RECV, CLOSE, LISTEN, NEW_SYN_RECV
_GAP_NS = 2_000_000_000  # unseen for longer: the same addresses are another connection
_MAX_SIGHTINGS = 1000

_Key = tuple[Address, Address]


@dataclass(slots=True)
class _Sighting:
    first_ns: int
    last_ns: int
    words: str


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a node lives now."""

    pid: int
    host: str


class NamespaceWatch:
    """Remembers every connection of a node that the relay is no party to, and when it was seen.

    Attributes:
        available: Every table that was wanted could be read, as far as its process lived.
    """

    def __init__(self) -> None:
        self.available = True
        self._homes: dict[str, _Home] = {}
        self._ports: dict[Address, LinkId] = {}
        self._ours: set[str] = set()
        self._sightings: dict[_Key, list[_Sighting]] = {}
        self._count = 0
        self._turn = asyncio.Lock()

    def add(self, specs: Iterable[LinkSpec]) -> None:
        """The ports these links lead to are declared."""
        self._ports.update((spec.node or spec.upstream, spec.link) for spec in specs)

    def watch(self, node: str, pid: int, host: str, ours: Iterable[str]) -> None:
        """A node lives (again).

        Args:
            pid: A process of its namespace; 0: not known, then it is not watched, and the reports say so.
            host: Its address.
            ours: Addresses that the relay dials from or listens on.
        """
        self._homes[node] = _Home(pid, host)
        self._ours.update(ours)
        if not pid:
            self.available = False

    def has_ended(self, node: str) -> bool:
        """Whether the process by which a node is known is no more: then its address answers nobody, not even by a refusal."""
        home = self._homes.get(node)
        return home is not None and home.pid > 0 and not os.path.exists(f"/proc/{home.pid}")

    async def look(self) -> None:
        """Look at all tables now, in a thread."""
        async with self._turn:
            if self._homes:
                await asyncio.get_running_loop().run_in_executor(None, self._look)

    def seen(self, start_ns: int, end_ns: int) -> list[str]:
        """One sentence for each bypass seen in the window."""
        found = [s for sightings in self._sightings.values() for s in sightings if s.first_ns <= end_ns and s.last_ns >= start_ns]
        return [s.words for s in sorted(found, key=lambda s: s.first_ns)]

    def _look(self) -> None:
        homes, now = dict(self._homes), monotonic_ns()
        names = {home.host: node for node, home in homes.items()}
        for home in homes.values():
            for sock in self._table(home):
                key = self._key(sock, home.host, names)
                if key is not None:
                    self._note(key, names, now, closed=sock.state == _TIME_WAIT)

    def _table(self, home: _Home) -> list[TcpSocket]:
        try:
            return parse_table(read_tables(home.pid), None)
        except (FileNotFoundError, ProcessLookupError):
            return []  # it has ended
        except OSError:
            self.available = False
            return []

    def _key(self, sock: TcpSocket, own: str, names: dict[str, str]) -> _Key | None:
        """(server's end, other end) of a connection that the relay has no part in; None for all others."""
        if sock.state in _NO_DATA or sock.local[0] != own or sock.remote[0] == own or sock.remote[0] in self._ours:
            return None
        if sock.local in self._ports:
            return sock.local, sock.remote
        if sock.remote[0] not in names:
            return None
        return (
            (sock.remote, sock.local)
            if sock.remote in self._ports
            else (max(sock.local, sock.remote), min(sock.local, sock.remote))
        )

    def _note(self, key: _Key, names: dict[str, str], now: int, *, closed: bool) -> None:
        sightings = self._sightings.setdefault(key, [])
        if sightings and (closed or now - sightings[-1].last_ns <= _GAP_NS):
            if not closed:
                sightings[-1].last_ns = now
        elif self._count < _MAX_SIGHTINGS:
            self._count += 1
            sightings.append(_Sighting(now, now, self._words(key, names, now)))

    def _words(self, key: _Key, names: dict[str, str], now: int) -> str:
        link, (server, other) = self._ports.get(key[0]), (_place(address, names) for address in key)
        seen = f"first seen at {now / 1e9:.3f} s"
        if link is None:
            return f"{server} and {other} were connected round the relay, {seen}"
        return f"port {link.port} of {server} was reached round the relay from {other}, {seen}"


def _place(address: Address, names: dict[str, str]) -> str:
    text = f"{address[0]}:{address[1]}"
    return f"{names[address[0]]} ({text})" if address[0] in names else text
