"""One at a time, over all sessions on this machine (in this network namespace).

The lock is a UNIX socket's abstract name, as those of ports are (`holds.py`): it vanishes with its process.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["exclusive"]

_LOOK_S = 0.05


@asynccontextmanager
async def exclusive(what: str, *, at_most_s: float) -> AsyncIterator[None]:
    """Wait until no other session has something, and have it.

    Args:
        what: Have what, in any words.
        at_most_s: Go on without it after so long: whoever has it hangs, or is no session any more but a child of one.
    """
    name = f"\0coordchaos-exclusive-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
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
