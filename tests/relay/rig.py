"""What the relay's tests share: nodes that are plain sockets servers, links to them, and conditions."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.control_client import LinkSpec, RelayControl

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SOURCE = "127.83.4.1"
DROP = DirectionState(LinkMode.DROP)
HOLD = DirectionState(LinkMode.HOLD)
REFUSE = DirectionState(LinkMode.REFUSE)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class RelayProcess:
    """A relay that runs."""

    pid: int
    address: tuple[str, int]


@dataclass
class Rig:
    """One link to one node whose every connection is kept for the test to use."""

    control: RelayControl
    link: LinkId
    address: tuple[str, int]
    node: tuple[str, int]
    accepted: asyncio.Queue[Streams]
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self) -> Streams:
        """A client's connection through the link."""
        reader, writer = await asyncio.open_connection(*self.address, limit=2**22)
        self.opened.append(writer)
        return reader, writer

    async def pair(self) -> tuple[Streams, Streams]:
        """A client's connection and the node's end of it."""
        client = await self.dial()
        async with asyncio.timeout(10):
            return client, await self.accepted.get()

    async def apply(self, up: DirectionState = PASS, down: DirectionState = PASS) -> None:
        """Put states in force; both probes must prove them."""
        probes = await self.control.apply({self.link: (up, down)})
        assert [p.ok for p in probes] == [True, True], probes


def link_name() -> LinkId:
    """A link nobody has yet."""
    return LinkId("clients", f"n{next(_numbers)}", "peer")


def spec(link: LinkId, node: tuple[str, int], protocol: str = "bytes", classes: Mapping[int, str] | None = None) -> LinkSpec:
    """A link to a node."""
    return LinkSpec(
        link=link, listen=("127.0.0.1", 0), upstream=node, upstream_source=SOURCE, protocol=protocol, classes=classes or {}
    )


@asynccontextmanager
async def rigged(relay: RelayProcess, protocol: str = "bytes", classes: Mapping[int, str] | None = None) -> AsyncIterator[Rig]:
    """A node and a link to it."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))
        rig.opened.append(writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0, limit=2**22)
    node = server.sockets[0].getsockname()
    control = await RelayControl.connect(relay.address)
    link = link_name()
    addresses = await control.add_links([spec(link, node, protocol, classes)])
    rig = Rig(control, link, addresses[link], node, accepted)
    try:
        yield rig
    finally:
        server.close()
        for writer in rig.opened:
            writer.transport.abort()
        await control.close()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; the test fails by name when it does not come true."""
    try:
        async with asyncio.timeout(20):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None


async def read_exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """Read with a deadline."""
    async with asyncio.timeout(30):
        return await reader.readexactly(size)


async def end_of(reader: asyncio.StreamReader) -> bytes | type[ConnectionResetError]:
    """What is left of a stream: its last bytes, or that it was reset."""
    async with asyncio.timeout(30):
        try:
            return await reader.read(-1)
        except ConnectionResetError:
            return ConnectionResetError


def nothing_came(reader: asyncio.StreamReader) -> bool:
    """No byte, no end of stream, no reset so far; does not wait."""
    return reader.exception() is None and not reader.at_eof() and not reader._buffer  # type: ignore[attr-defined]  # reading would wait


def frame(number: int, operation: int = 0, body: bytes = b"", sender: int = 1) -> bytes:
    """One frame of the protocol "frames"."""
    return struct.pack(">IHQH", 12 + len(body), number, operation, sender) + body


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
