"""asyncio's buffered protocols take bytes through a buffer of their own."""

from __future__ import annotations

import asyncio

__all__ = ["fill"]


def fill(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Hand over all of the data, in as many pieces as the buffer takes."""
    rest = memoryview(data)
    while rest:
        buffer = memoryview(protocol.get_buffer(len(rest)))
        size = min(len(buffer), len(rest))
        buffer[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]
