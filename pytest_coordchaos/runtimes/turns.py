"""One at a time, over all sessions on this machine. The lock is a name in the kernel: it vanishes with its process."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["turn"]

_LOOK_S = 0.05


@asynccontextmanager
async def turn(what: str, *, at_most_s: float) -> AsyncIterator[None]:
    """Wait until nobody else has a turn at something, and have it.

    Args:
        what: At what, in any words.
        at_most_s: Go on without one after so long: whoever has it hangs, or is no session any more but a child of one.
    """
    name = f"\0coordchaos-turn-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + at_most_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        while not _bound(lock, name) and loop.time() < deadline:  # noqa: ASYNC110  # other processes set no event of ours
            await asyncio.sleep(_LOOK_S)
        yield


def _bound(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
