"""Sockets that live in another network namespace, asked of the ambassador container in it.

What is bound, listened on or dialled through such a socket happens in the ambassador's namespace, while its bytes are read
and written here: no extra hop, no published port, nothing between containers and host. A few are kept ready, so that
dialling costs no round trip to the ambassador. See `ambassador.py` for the other side.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from pathlib import Path

from pytest_coordchaos.runtimes.ambassador import FAMILIES, KINDS

__all__ = ["Door", "Doors", "connect_door", "dial_through"]

_BATCH, _LOW = 32, 8
_ANSWER_BYTES = 512
_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)

_FAMILY_LETTERS = {int(number): letter for letter, number in FAMILIES.items()}
_KIND_LETTERS = {int(number): letter for letter, number in KINDS.items()}
_Sort = tuple[int, int]


def connect_door(path: Path) -> socket.socket:
    """Connect to an ambassador's UNIX socket, however long its path is (the kernel allows 108 bytes).

    Raises:
        OSError: Nobody listens there.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(f"/proc/self/fd/{directory}/{path.name}")
        channel.setblocking(False)
    except OSError:
        channel.close()
        raise
    finally:
        os.close(directory)
    return channel


class Door:
    """One ambassador, from this process. Bound to the loop in which it is used first.

    Args:
        path: The ambassador's UNIX socket.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._channel: socket.socket | None = None
        self._ready: dict[_Sort, deque[socket.socket]] = {}
        self._asking: dict[_Sort, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._closed = False

    async def fresh(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A fresh, unbound, non-blocking socket of the ambassador's namespace.

        Raises:
            OSError: The ambassador is gone, or cannot make one.
        """
        sort = (int(family), int(kind))
        while not (ready := self._ready.setdefault(sort, deque())):
            await asyncio.shield(self._refill(sort))  # whoever gives up waiting leaves no half-read answer behind
        sock = ready.popleft()
        if len(ready) < _LOW:
            self._refill(sort)
        return sock

    def close(self) -> None:
        """Give back what was kept ready, and ask no more. Idempotent."""
        self._closed = True
        for task in self._asking.values():
            task.cancel()
        for sock in [sock for ready in self._ready.values() for sock in ready]:
            sock.close()
        self._ready.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _refill(self, sort: _Sort) -> asyncio.Task[None]:
        """The asking for sockets of a sort that is under way, begun if there is none."""
        task = self._asking.get(sort)
        if task is None or task.done():
            task = self._asking[sort] = asyncio.get_running_loop().create_task(self._ask(sort))
            task.add_done_callback(_seen)
        return task

    async def _ask(self, sort: _Sort) -> None:
        async with self._turn:
            if self._closed:
                raise ConnectionAbortedError("it was closed here")
            if self._channel is None:
                self._channel = connect_door(Path(self.path))
            request = _FAMILY_LETTERS[sort[0]] + _KIND_LETTERS[sort[1]] + bytes([_BATCH])
            await asyncio.get_running_loop().sock_sendall(self._channel, request)
            await _readable(self._channel)
            head, descriptors, _, _ = socket.recv_fds(self._channel, _ANSWER_BYTES, _BATCH, socket.MSG_CMSG_CLOEXEC)
        fresh = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for sock in fresh:
            sock.setblocking(False)
        self._ready.setdefault(sort, deque()).extend(fresh)
        if not fresh:
            raise ConnectionAbortedError(f"the ambassador at {self.path} gives no socket: {_why(head)}")


class Doors:
    """All doors of this process, each opened when it is used first."""

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}

    async def fresh(self, path: str, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A fresh, unbound, non-blocking socket behind a door; "" is this process's own namespace.

        Raises:
            OSError: The ambassador is gone.
        """
        if path:
            return await self._doors.setdefault(path, Door(path)).fresh(family, kind)
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        return sock

    def close(self) -> None:
        """Close them all. Idempotent."""
        for door in self._doors.values():
            door.close()
        self._doors.clear()


async def dial_through(sock: socket.socket, source: str, target: tuple[str, int]) -> socket.socket:
    """Connect a fresh socket; it is closed when that fails or is cancelled.

    Args:
        sock: Of the namespace to dial from.
        source: Local address to dial from; "": the one that leads there.
        target: Where to.

    Raises:
        OSError: Refused, unreachable, or connected to itself because nobody listens there.
    """
    try:
        if source:
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, target)
        if sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError("connected to itself: nobody listens there")
    except BaseException:
        sock.close()
        raise
    return sock


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waits gets the error; where nobody does, the next one asks again."""
    if not task.cancelled():
        task.exception()


def _why(head: bytes) -> str:
    return head[1:].decode(errors="replace").strip() if head else "it is gone"
