"""UDP behind `env.network`: one frame is one datagram, addressed by the peer's name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from reference_systems.kit.env import DatagramHandler
from reference_systems.kit.frames import Frame, FrameDecoder, FrameError, encode

__all__ = ["MAX_DATAGRAM_BYTES", "FrameDatagrams"]

MAX_DATAGRAM_BYTES = 1400
"""Longest frame that is sent as a datagram: one packet on Ethernet, tunnels included. A longer one would travel in
fragments, and be lost when any of them is."""

Address = tuple[str, int]


class FrameDatagrams(asyncio.DatagramProtocol):
    """One UDP port of a node.

    A peer's datagrams come from an address of its link's own, so that who sent one is never read off its address.

    Args:
        handler: Takes each frame that came.
        address_of: Peer -> where its link takes datagrams. Raises ConnectionRefusedError: it has none.
    """

    def __init__(self, handler: DatagramHandler, address_of: Callable[[str], Address]) -> None:
        self._handler = handler
        self._address_of = address_of
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the port is bound."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """asyncio: a datagram came. What is not exactly one frame is dropped: networks lose datagrams for less."""
        try:
            frames, rest = _frames(data)
        except FrameError:
            return
        if len(frames) == 1 and not rest:
            self._handler(frames[0])

    def error_received(self, exc: Exception) -> None:
        """asyncio: an earlier datagram met nobody. It is lost, as any may be."""

    def send(self, peer: str, frame: Frame) -> None:
        """Send through the link to the peer; nobody learns whether it arrives.

        Raises:
            ConnectionRefusedError: The peer has no known link.
            FrameError: The frame is too long for a datagram, or cannot be written.
        """
        data, address = encode(frame), self._address_of(peer)
        if len(data) > MAX_DATAGRAM_BYTES:
            raise FrameError(f"a frame of {len(data)} bytes is too long for a datagram; allowed: at most {MAX_DATAGRAM_BYTES}")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, address)

    def close(self) -> None:
        """Give the port back. Idempotent."""
        if self._transport is not None:
            self._transport.close()


def _frames(data: bytes) -> tuple[list[Frame], int]:
    decoder = FrameDecoder()
    return decoder.feed(data), decoder.pending_bytes
