"""What flows need of sockets and timers: resets, and precise wake-ups."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from struct import pack

__all__ = ["call_at", "reset"]

_LINGER_0 = pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close with RST: the other end must not take it for a clean end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        except OSError:
            pass  # gone already
    transport.abort()


def call_at(loop: asyncio.AbstractEventLoop, due_ns: int, wait_ns: int, callback: Callable[[], None]) -> asyncio.Handle:
    """Wake up about then, rather early than late: the caller looks at the clock again.

    uvloop's timers tick in whole milliseconds, and wait that long from a fraction of one: aiming at the tick
    before the time, and waiting once more where that was early, is late by half a millisecond on average.
    """
    if wait_ns >= 1_000_000:
        return loop.call_at(due_ns // 1_000_000 / 1e3, callback)
    return loop.call_later(0.001, callback) if wait_ns > 100_000 else loop.call_soon(callback)
