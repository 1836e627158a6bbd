"""Which connections to nodes a second hop (Toxiproxy) may have made, and which it cannot have made.

The relay knows its own connections by their local address; a second hop's come from the address
everybody has. One that is open is known by its process: the one that listens where the links lead.
Of one that is over the kernel tells no owner. So they are counted: for each connection the relay makes
the second hop makes one, and any more were somebody else's. Connections that end by a reset vanish
unseen, and leave room for as many of somebody else's: among many short ones a bypass may hide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pytest_coordchaos.relay.sockets_table import Owner, owned_by
from pytest_coordchaos.relay.wire import Address

__all__ = ["Key", "SecondHops"]

Key = tuple[Address, Address]
"""(node, foreign end) of a connection."""

_REMEMBER_NS = 120_000_000_000  # longer than the kernel remembers a connection that is over


class SecondHops:
    """The nodes behind a second hop, and the connections to them that may be its.

    Args:
        dials: How many connections the relay has begun towards each such node.

    Attributes:
        places: Where second hops listen.
    """

    def __init__(self, dials: Callable[[], Mapping[Address, int]]) -> None:
        self.places: set[Address] = set()
        self._nodes: set[Address] = set()
        self._dials = dials
        self._pids: set[int] = set()
        self._seen: dict[Key, int] = {}  # -> when last
        self._before: dict[Address, int] = {}  # how many were seen that are forgotten by now, less those accused already

    def add(self, node: Address, place: Address) -> None:
        """The second hop that listens at `place` leads to this node."""
        self._nodes.add(node)
        self.places.add(place)

    def __contains__(self, node: Address) -> bool:
        return node in self._nodes

    def took_over(self, keys: Iterable[Key], now_ns: int) -> None:
        """Connections that were over before anybody looked are nobody's."""
        for key in keys:
            if key[0] in self._nodes and key not in self._seen:
                self._seen[key] = now_ns
                self._before[key[0]] = self._before.get(key[0], 0) - 1

    def known(self, inodes: Mapping[Key, int]) -> set[Key]:
        """Of connections to nodes behind a second hop, by the inode of the dialler's end (0: none has it): those that need
        no search for their owner."""
        mine = {key: inode for key, inode in inodes.items() if key[0] in self._nodes}
        open_ = {inode for pid in self._pids for inode in owned_by(pid, {inode for inode in mine.values() if inode})}
        return {key for key, inode in mine.items() if not inode or inode in open_}

    def listens(self, owners: Iterable[Owner]) -> None:
        """These have been found to listen at the places."""
        self._pids |= {owner.pid for owner in owners}

    def may_be(self, key: Key, dialler: Owner | None, now_ns: int) -> bool:
        """Whether the second hop may have made this one; then it is counted. One that somebody else holds open is not."""
        if dialler is not None and dialler.pid not in self._pids:
            return False
        self._seen[key] = now_ns
        return True

    def excess(self, present: Iterable[Key], now_ns: int) -> dict[Address, int]:
        """How many connections more than the relay ever asked for have been seen at each node; each is told once."""
        self._seen.update((key, now_ns) for key in present if key in self._seen)
        for key in [key for key, last_ns in self._seen.items() if now_ns - last_ns > _REMEMBER_NS]:
            del self._seen[key]
            self._before[key[0]] = self._before.get(key[0], 0) + 1
        dials = self._dials()
        counts = dict(self._before)
        for node, _ in self._seen:
            counts[node] = counts.get(node, 0) + 1
        more = {node: count - dials.get(node, 0) for node, count in counts.items() if count > dials.get(node, 0)}
        for node, number in more.items():
            self._before[node] = self._before.get(node, 0) - number
        return more
