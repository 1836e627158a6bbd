"""What `async def main(env)` may touch of the world. Runtimes implement it; nodes only use it.

The same node runs on real sockets and disks (`kit.__main__`) or in a simulator that gives another Env.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reference_systems.kit.frames import Frame

__all__ = ["Clock", "Connection", "DatagramHandler", "Datagrams", "Disk", "Env", "Handler", "LogFile", "Network"]


class Clock(Protocol):
    """The node's own clock."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 as this node believes; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long on the monotonic clock."""
        ...


class Connection(Protocol):
    """Frames both ways over one TCP connection, in order, until it breaks."""

    @property
    def closed(self) -> bool:
        """Nothing sent from now on can arrive."""
        ...

    def send(self, frame: Frame) -> bool:
        """Queue a frame without waiting; False: the connection is closed and the frame is gone.

        What a slow receiver leaves unread is bounded: beyond the bound the connection is aborted.
        True promises nothing about arrival.
        """
        ...

    async def receive(self) -> Frame | None:
        """The next frame; None once the connection has ended, whoever ended it and why."""
        ...

    def close(self) -> None:
        """End it now; unsent bytes may be lost. Idempotent."""
        ...


Handler = Callable[[Connection], Awaitable[None]]
"""Serves one accepted connection; it is closed when the handler returns."""

DatagramHandler = Callable[[Frame], None]
"""Takes one frame that came as a datagram. Who sent it is the frame's `sender`: addresses say nothing of it."""


class Datagrams(Protocol):
    """Frames both ways, each in one UDP datagram: it may be lost, come twice, or overtake another."""

    def send(self, peer: str, frame: Frame) -> None:
        """Send through this node's link to the peer; nobody learns whether it arrives.

        Raises:
            ConnectionRefusedError: The peer has no known link.
            FrameError: The frame is longer than `kit.datagrams.MAX_DATAGRAM_BYTES`, or cannot be written.
        """
        ...

    def close(self) -> None:
        """Give the port back. Idempotent."""
        ...


class Network(Protocol):
    """Peers and clients, by name only: addresses never enter a message."""

    async def listen(self, port: str, handler: Handler) -> None:
        """Accept connections on this node's port of that name; returns when it listens."""
        ...

    async def connect(self, peer: str, port: str) -> Connection:
        """Dial a peer through this node's link to it.

        Raises:
            OSError: Refused, unreachable, or the peer has no known link.
        """
        ...

    async def open_datagrams(self, port: str, handler: DatagramHandler) -> Datagrams:
        """Take datagrams on this node's port of that name, and send from it. What is no frame is dropped unseen."""
        ...


class LogFile(Protocol):
    """An append-only file; what was appended is durable after the next `sync`, in order."""

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        ...

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises OSError when the disk refuses; the tail may then be torn."""
        ...

    async def sync(self) -> None:
        """Make all that was appended before this call durable. Raises OSError; never retry after one."""
        ...

    async def truncate(self, size: int) -> None:
        """Cut to `size` bytes; durable after the next `sync`."""
        ...

    def close(self) -> None:
        """Give the file back, without a sync."""
        ...


class Disk(Protocol):
    """The node's own directory. Nothing is durable before it was synced; a new or renamed name not before `sync_dir`."""

    async def read(self, name: str) -> bytes | None:
        """The whole file; None when there is none."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Create or replace the content, not atomically, not synced."""
        ...

    async def sync(self, name: str) -> None:
        """Make the file's content durable."""
        ...

    async def rename(self, old: str, new: str) -> None:
        """Atomically give the file another name, replacing what had it."""
        ...

    async def sync_dir(self) -> None:
        """Make creations, renames and removals durable."""
        ...

    async def remove(self, name: str) -> None:
        """Remove the file; no error when there is none."""
        ...

    async def list_files(self) -> list[str]:
        """Names of the files, sorted."""
        ...

    async def open_log(self, name: str) -> LogFile:
        """Open for appending; created when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """One node's world.

    Args:
        name: The node's name.
        index: Its place in `nodes`, from 1; the sender field of its frames.
        nodes: All names in the System's order.
        options: `System(options=…)`.
        seed: The node's seed; `random` is already seeded from it, the name and the incarnation.
        clock, network, disk, random: The world.
        spawner: Starts a background task; see `spawn`.
    """

    name: str
    index: int
    nodes: tuple[str, ...]
    options: Mapping[str, Any]
    seed: int
    clock: Clock
    network: Network
    disk: Disk
    random: random.Random
    spawner: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

    @property
    def peers(self) -> tuple[str, ...]:
        """All nodes but this one."""
        return tuple(name for name in self.nodes if name != self.name)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside main. An exception that escapes it crashes the node: a node never limps on."""
        return self.spawner(coroutine)
