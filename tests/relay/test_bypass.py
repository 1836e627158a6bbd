"""Traffic round the relay is seen, named, and put in the ledger of its window alone."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pytest

from pytest_coordchaos.relay import bypass, sockets_table
from pytest_coordchaos.relay.bypass import NOT_AVAILABLE
from pytest_coordchaos.relay.server import Relay
from tests.relay.rig import SOURCE, RelayProcess, link_name, rigged, spec

WALKER = (
    "import socket,sys\ns=socket.create_connection(('127.0.0.1',{port}))\nprint(s.getsockname()[1],flush=True)\nsys.stdin.read()"
)
NODE = "import socket,sys\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\n"
SELF_TALK = NODE + "c=socket.create_connection(s.getsockname())\na,_=s.accept()\nprint('talking',flush=True)\nsys.stdin.read()\n"


@contextmanager
def program(code: str) -> Iterator[tuple[int, IO[str]]]:
    """A program in a process group of its own, as nodes are; its pid and what it prints."""
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.pid, process.stdout
        process.stdin.close()


async def test_a_connection_round_the_relay_is_named_with_its_program(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        control, link, node = rig.control, rig.link, rig.node
        before = await control.mark()
        between = await control.mark()
        with program(WALKER.format(port=node[1])) as (walker, lines):
            port = int(await asyncio.to_thread(lines.readline))
            ledger = await control.ledger(between)
        clean = await control.ledger(before, between)

    (sentence,) = [words for words in ledger.bypasses if f":{node[1]})" in words]
    assert sentence.startswith(
        f"port {link.port} of {link.target} (127.0.0.1:{node[1]}) was reached round the relay from 127.0.0.1:{port}"
    )
    assert f"(pid {walker}, python" in sentence
    assert not [words for words in clean.bypasses if f":{node[1]})" in words]


async def test_a_bypass_that_was_closed_before_anybody_looked_is_seen_once(relay: RelayProcess) -> None:
    """The kernel remembers a closed connection for a minute: its window reports it, later ones do not."""
    async with rigged(relay) as rig:
        start = await rig.control.mark()
        with socket.create_connection(rig.node):
            _, node = await rig.accepted.get()
        node.close()
        await node.wait_closed()
        end = await rig.control.mark()
        first, later = await rig.control.ledger(start, end), await rig.control.ledger(end)

    assert [words for words in first.bypasses if f":{rig.node[1]})" in words]
    assert not [words for words in later.bypasses if f":{rig.node[1]})" in words]


async def test_what_was_over_before_the_node_was_watched_is_nobodys_bypass() -> None:
    """Another cluster's relay may have left connections in TIME_WAIT on a port that is used again."""
    with socket.create_server(("127.0.0.1", 0)) as node:
        with socket.create_connection(node.getsockname()):
            accepted, _ = node.accept()
            accepted.close()

        assert await _bypasses(node.getsockname()[1]) == []


async def test_the_relay_itself_and_its_source_address_are_no_bypass(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        mark = await rig.control.mark()
        await rig.pair()
        with socket.create_connection(rig.node, source_address=(SOURCE, 0)):
            ledger = await rig.control.ledger(mark)

    assert not [words for words in ledger.bypasses if f":{rig.node[1]})" in words]
    assert ledger.note == ""


async def test_a_node_that_talks_to_itself_walks_round_nobody() -> None:
    with program(SELF_TALK) as (_, lines):
        port = int(lines.readline())
        assert lines.readline() == "talking\n"
        bypasses = await _bypasses(port)

    assert bypasses == []


async def test_a_diallers_end_that_the_kernel_left_out_once_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is read in pieces: on a busy machine a line may be missing, and a node's talk with itself is half seen."""
    calls = 0

    def half_seen() -> bytes:
        nonlocal calls
        calls += 1
        lines = sockets_table.read_tables().splitlines(keepends=True)
        return b"".join(line for line in lines if calls > 1 or line.split()[2].split(b":")[-1] != b"%04X" % port)

    monkeypatch.setattr(bypass, "read_tables", half_seen)
    with program(SELF_TALK) as (_, lines):
        port = int(lines.readline())
        assert lines.readline() == "talking\n"
        bypasses = await _bypasses(port)

    assert bypasses == []
    assert calls >= 2


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_a_node_that_listens_everywhere_is_watched_everywhere() -> None:
    code = "import socket,sys\ns=socket.create_server(('::',0),family=socket.AF_INET6,dualstack_ipv6=True)\n"
    with program(code + "print(s.getsockname()[1],flush=True)\nsys.stdin.read()") as (_, lines):
        port = int(lines.readline())
        with socket.create_connection(("127.0.0.9", port)):
            bypasses = await _bypasses(port)

    assert len(bypasses) == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_a_stranger_that_listens_everywhere_else_on_the_nodes_port_is_no_node() -> None:
    with socket.create_server(("127.0.0.1", 0)) as node:
        port = node.getsockname()[1]
        stranger = f"import socket,sys\ns=socket.create_server(('::',{port}),family=socket.AF_INET6)\n"
        with program(stranger + "print(flush=True)\nsys.stdin.read()") as (_, lines):
            lines.readline()
            with socket.create_connection(("::1", port)):
                assert await _bypasses(port) == []


async def test_where_the_table_cannot_be_read_the_ledger_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> bytes:
        raise PermissionError("no table")

    monkeypatch.setattr(bypass, "read_tables", unreadable)
    relay = Relay(seed="1", max_messages=1000)
    await relay.add_links([spec(link_name(), ("127.0.0.1", 9))])
    mark = await relay.mark()
    part = relay.ledger((0, 0), (mark.row, mark.time_ns))
    await relay.close()

    assert part.note == NOT_AVAILABLE


FORWARD = NODE.replace("socket,sys", "socket,sys,threading") + (
    "def pump(a, b):\n"
    "    while data := a.recv(9): b.sendall(data)\n"
    "    a.close(); b.close()\n"
    "def serve():\n"
    "    while True:\n"
    "        a, _ = s.accept(); b = socket.create_connection(('127.0.0.1', {port}))\n"
    "        threading.Thread(target=pump, args=(a, b), daemon=True).start()\n"
    "threading.Thread(target=serve, daemon=True).start()\n"
    "sys.stdin.read()"
)


async def test_a_second_hop_may_dial_the_node_and_others_may_not() -> None:
    """An open connection is told by its process: the one that listens where the link leads."""
    async with _second_hop() as (hop, node, link, seen):
        through = await asyncio.open_connection(*link)
        through[1].write(b"x")
        assert await asyncio.wait_for(node.get(), 10) == b"x"
        with program(WALKER.format(port=hop.node[1])) as (walker, lines):
            await asyncio.to_thread(lines.readline)
            bypasses = await seen()
        through[1].close()

    (sentence,) = bypasses
    assert f"(pid {walker}, " in sentence


async def test_connections_of_a_second_hop_that_are_over_are_its_and_one_more_is_not() -> None:
    """Nobody can tell whose a closed connection was, but how many there may have been."""
    async with _second_hop() as (hop, node, link, seen):
        for _ in range(3):
            through = await asyncio.open_connection(*link)
            through[1].write(b"x")
            assert await asyncio.wait_for(node.get(), 10) == b"x"
            through[1].close()
            await through[1].wait_closed()
            assert await asyncio.wait_for(node.get(), 10) == b""
        honest = await seen()
        with socket.create_connection(hop.node):
            pass
        assert await asyncio.wait_for(node.get(), 10) == b""
        walked, told_once = await seen(), await seen()

    assert honest == []
    (sentence,) = walked
    assert "was reached round the relay once, by connections the relay did not ask for" in sentence
    assert told_once == walked


@dataclass
class _Hop:
    node: tuple[str, int]


@asynccontextmanager
async def _second_hop() -> AsyncIterator[tuple[_Hop, asyncio.Queue[bytes], tuple[str, int], Callable[[], Awaitable[list[str]]]]]:
    """A node that says what it read, a program that forwards to it, and a relay's link to that."""
    read: asyncio.Queue[bytes] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(100):
            read.put_nowait(data)
        read.put_nowait(b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    node = server.sockets[0].getsockname()
    relay = Relay(seed="1", max_messages=1000)

    async def seen() -> list[str]:
        mark = await relay.mark()
        return relay.ledger((0, 0), (mark.row, mark.time_ns)).bypasses

    with program(FORWARD.format(port=node[1])) as (_, lines):
        hop = ("127.0.0.1", int(await asyncio.to_thread(lines.readline)))
        link = replace(spec(link_name(), hop), node=node)
        places = await relay.add_links([link])
        try:
            yield _Hop(node), read, places[link.link], seen
        finally:
            await relay.close()
            server.close()
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0)  # transports are gone one turn later


def test_a_mapped_address_is_the_ipv4_address_it_stands_for() -> None:
    text = Path("/proc/net/tcp").read_bytes() if Path("/proc/net/tcp").exists() else b""
    assert text == b"" or text.lstrip().startswith(b"sl"), "the format this parser knows"
    line = (
        b"   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF000004530A7F:C350 01 00000000:00000000 "
        b"00:00000000 00000000  1000        0 4242 1 0 20 4 30 10 -1\n"
    )

    (sock,) = sockets_table.parse_table(b"  sl  local_address ...\n" + line, {8080})
    assert sock == sockets_table.TcpSocket(("127.0.0.1", 8080), ("127.10.83.4", 50000), 1, 4242)


async def _bypasses(port: int) -> list[str]:
    relay = Relay(seed="1", max_messages=1000)
    await relay.add_links([spec(link_name(), ("127.0.0.1", port))])
    mark = await relay.mark()
    part = relay.ledger((0, 0), (mark.row, mark.time_ns))
    await relay.close()
    return part.bypasses
