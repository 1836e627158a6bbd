"""One address to which datagrams come. Several links may share it: they are told apart by who sends."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from pytest_coordchaos.relay.sharing import link_from, rival_of

if TYPE_CHECKING:
    from pytest_coordchaos.relay.datagrams import DatagramLink

__all__ = ["AT_ONCE", "LARGEST", "DatagramListening"]

LARGEST = 65_535
"""Bytes of the largest datagram."""

AT_ONCE = 64
"""Datagrams read in one turn of the loop."""


class DatagramListening:
    """A bound socket, and the links whose diallers send to it.

    Args:
        sock: The socket; it may belong to another network namespace.

    Attributes:
        links: Those whose diallers send here.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.links: list[DatagramLink] = []
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._expected: dict[tuple[str, int], DatagramLink] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        name: tuple[str, int] = self._sock.getsockname()[:2]
        return name

    def rival(self, sources: tuple[str, ...]) -> DatagramLink | None:
        """A link whose diallers could not be told from these (none given: everybody else)."""
        return rival_of(self.links, sources)

    def open(self) -> None:
        """Listen. Idempotent."""
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def leave(self, link: DatagramLink) -> bool:
        """Listen for it no longer; True when nobody is left, and the port has been given back."""
        if link in self.links:
            self.links.remove(link)
        if self.links:
            return False
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        return True

    def expect(self, address: tuple[str, int], link: DatagramLink) -> None:
        """What comes from this address is a probe's of this link."""
        self._expected[address] = link

    def forget(self, address: tuple[str, int]) -> None:
        """No probe sends from there any more."""
        self._expected.pop(address, None)

    def send_to(self, address: tuple[str, int], data: bytes) -> None:
        """Send a datagram to a dialler. OSError: it cannot be sent now."""
        self._sock.sendto(data, address)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, name = self._sock.recvfrom(LARGEST)
            except OSError:  # nothing more; or a receiver of ours is gone, which is no matter here
                return
            address = (name[0], name[1])
            link = self._expected.get(address) or link_from(self.links, address[0])
            if link is not None:
                link.take(address, data)
