"""What a relay that runs as a container does beside: a token, connections for who cannot reach nodes, a clock of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from time import monotonic_ns

import pytest

from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.relay.control_client import RelayControl
from pytest_coordchaos.relay.framing import json_class_fast, json_class_plain
from pytest_coordchaos.runtimes.far_dial import dial_far
from tests.relay.rig import link_name, spec

TOKEN = "a token"
AHEAD_NS = 1_000_000 * 1_000_000_000
_OTHER_CLOCK = f"""
import sys, time
here = time.monotonic_ns
time.monotonic_ns = lambda: here() + {AHEAD_NS}
from pytest_coordchaos.relay.__main__ import main
main(sys.argv[1:])
"""
_Address = tuple[str, int]


@pytest.fixture
def far() -> Iterator[_Address]:
    """The control address of a relay with a token, whose clock is far ahead of ours."""
    env = {**os.environ, "COORDCHAOS_RELAY_TOKEN": TOKEN}
    with subprocess.Popen([sys.executable, "-c", _OTHER_CLOCK], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, number = process.stdout.readline().split()
        yield host, int(number)
        process.terminate()


async def test_without_the_token_nobody_drives_it(far: _Address) -> None:
    for token in ("", "another"):
        with pytest.raises(RelayError, match="this relay belongs to somebody: coordchaos-token is missing or wrong"):
            await RelayControl.connect(far, token=token)
        with pytest.raises(ConnectionRefusedError):
            await dial_far(far, token, "", far)


async def test_links_listen_where_they_are_told_to_and_are_reached_where_that_is_published(far: _Address) -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as gone:
        place = gone.getsockname()
    control = await RelayControl.connect(far, token=TOKEN, published={place: ("127.0.0.1", 1)})
    link = link_name()
    made = await control.add_links([replace(spec(link, ("127.0.0.1", 9)), listen=place)])
    await control.close()

    assert made == {link: ("127.0.0.1", 1)}


async def test_its_times_are_told_in_our_clock(far: _Address) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    control = await RelayControl.connect(far, token=TOKEN)
    link, began = link_name(), monotonic_ns()
    address = (await control.add_links([spec(link, server.sockets[0].getsockname(), "json-lines")]))[link]
    start = await control.mark()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"{}\n")
    assert await reader.readline() == b"{}\n"
    ledger = await control.ledger(start, await control.mark())
    writer.close()
    server.close()
    await control.close()

    assert [message.sender for message in ledger.messages] == ["clients", link.target]
    times = [began, ledger.start_ns, *(message.offered_ns for message in ledger.messages), ledger.end_ns, monotonic_ns()]
    slack = 1_000_000_000  # the clocks were compared by calls that took a while
    assert all(before <= after + slack for before, after in pairwise(times)), times


async def test_a_node_is_dialled_and_each_way_ends_for_itself(far: _Address) -> None:
    """The node speaks first, and again after the dialler has said all it had to say."""

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome ")
        said = await reader.read()
        writer.write(b"%d bytes" % len(said))
        writer.close()

    server = await asyncio.start_server(node, "127.0.0.1", 0)
    sock = await dial_far(far, TOKEN, "", server.sockets[0].getsockname())
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(b"x" * 3_000_000)
    writer.write_eof()
    async with asyncio.timeout(10):
        heard = await reader.read()
    writer.close()
    server.close()

    assert heard == b"welcome 3000000 bytes"


async def test_a_node_that_is_not_there_refuses(far: _Address) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        nobody = gone.getsockname()

    with pytest.raises(ConnectionRefusedError):
        await dial_far(far, TOKEN, "", nobody)
    with pytest.raises(ConnectionRefusedError):
        await dial_far(far, TOKEN, "/no/such/door.sock", nobody)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type": "put"}', "put"),
        (b'{"type": null, "body": {"type": "put"}}', "put"),
        (b'{"body": {"type": "put", "more": [1, {"type": "x"}]}}', "put"),
        (b'{"type": "a", "type": "b", "body": {"type": "c"}}', "b"),
        (b'{"type": 7, "body": {"type": "put"}}', "line"),
        (b'{"type": ""}', "line"),
        (b'{"type": "gr\xc3\xbcn"}', "gr\u00fcn"),
        (b'{"type": "gr\xfcn"}', "line"),
        (b'{"type": "put", "n": NaN}', "line"),
        (b'{"type": "put"', "line"),
        (b'["type", "put"]', "line"),
        (b'"put"', "line"),
        (b'{"body": null}', "line"),
        (b'{"body": "put"}', "line"),
        (b"{}", "line"),
        (b"", "line"),
    ],
)
def test_both_readers_of_json_lines_see_the_same_class(line: bytes, expected: str) -> None:
    assert (json_class_fast.read_class(line), json_class_plain.read_class(line)) == (expected, expected)
