"""Whole conversations, both directions: any cutting gives the same messages, in bounded memory and linear work."""

from __future__ import annotations

import sys
from collections import deque
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.relay.framing import Frame, Framer, framer_pair
from pytest_coordchaos.system.protocols import PROTOCOLS
from tests.unit import wire_samples as wire
from tests.unit.wire_samples import WAYS, H2Client, Talk
from tests.unit.wire_talks import Turn, cut, spoiled, spoken, talks


def hear(protocol: str, talk: Talk) -> tuple[tuple[list[Frame], list[Frame]], list[bool]]:
    """The messages, and whether each direction is lost."""
    framers = framer_pair(protocol, {})
    return wire.listen(framers, talk), [framer.lost for framer in framers]


@given(spoken, st.lists(st.integers(1, 40), max_size=60))
def test_any_cutting_of_a_conversation_gives_the_same_messages(said: tuple[str, list[Turn]], sizes: list[int]) -> None:
    protocol, talk = said
    at_once = hear(protocol, talk)

    assert hear(protocol, cut(talk, sizes)) == at_once
    assert hear(protocol, cut(talk, [1] * 10_000)) == at_once
    for way, frames in zip("><", at_once[0], strict=True):
        assert sum(size for _, size, _ in frames) <= sum(len(data) for spoke, data in talk if spoke == way)


@given(spoiled, st.lists(st.integers(1, 9), max_size=40))
def test_garbage_anywhere_in_a_conversation_never_raises(said: tuple[str, list[Turn]], sizes: list[int]) -> None:
    """And whatever is heard is the same however it was cut."""
    protocol, talk = said

    assert hear(protocol, cut(talk, sizes)) == hear(protocol, talk)


# -- bounded and linear --------------------------------------------------------------------------------

CLIENT = H2Client()
BLOCK = CLIENT.block()
H2_HELLO: Talk = [("<", wire.h2(wire.SETTINGS)), (">", CLIENT.hello)]
H2_OPEN: Talk = [*H2_HELLO, (">", wire.h2(wire.HEADERS, wire.END_HEADERS, 1, BLOCK))]
ENDLESS: dict[str, tuple[str, Talk, str, bytes, bytes]] = {
    "frames": ("frames", [], ">", b"", b"\0\0\0\x10" + bytes(16)),
    "http1 body": ("http1", [], ">", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"),
    "resp commands": ("resp", [], ">", b"", wire.command(b"SET", b"key", b"value")),
    "resp names": ("resp", [], ">", b"*100000\r\n$80000\r\n", b"SET"),
    "resp inline": ("resp", [], ">", b"SET ", b"x"),
    "resp line": ("resp", [], "<", b"+", b"x"),
    "resp array": ("resp", [], "<", b"*1000000\r\n", b":1\r\n"),
    "resp streamed": ("resp", [], "<", b"*?\r\n", b"$1\r\nx\r\n"),
    "resp nested": ("resp", [], "<", b"", b"*2\r\n"),
    "resp snapshot": ("resp", [(">", wire.command(b"PSYNC"))], "<", b"$EOF:" + b"m" * 40 + b"\r\n", b"mmmmmmmmmm."),
    "postgres batch": ("postgres", wire.OPEN, ">", wire.parse(b"select 1"), wire.bind() + wire.execute()),
    "postgres statement": ("postgres", wire.OPEN, ">", b"Q\0\x10\0\0", b" select 1;"),
    "postgres rows": ("postgres", wire.OPEN, "<", b"", wire.packet(b"D", b"a row of the table")),
    "postgres copy": ("postgres", wire.OPEN, ">", b"", wire.packet(b"d", b"a row of the table")),
    "http2 data": ("http2", H2_OPEN, ">", b"", wire.h2(wire.DATA, 0, 1, wire.grpc(b"message"))),
    "http2 one message": ("http2", H2_OPEN, ">", wire.h2(wire.DATA, 0, 1, b"\0\0\x80\0\0"), wire.h2(wire.DATA, 0, 1, b"more")),
    "http2 header block": ("http2", H2_HELLO, ">", b"", wire.h2(wire.HEADERS, 0, 1, b"\x82")),
    "http2 continuation": ("http2", H2_HELLO, ">", wire.h2(wire.HEADERS, 0, 1, BLOCK), wire.h2(wire.CONTINUATION, 0, 1, b"\x82")),
    "http2 pings": ("http2", H2_HELLO, "<", b"", wire.h2(wire.PING, 0, 0, bytes(8))),
}
"""What to say before, who says it then, how it begins, and what goes on for ever."""

CASES = pytest.mark.parametrize("name", ENDLESS)


def endless(name: str, size: int) -> tuple[tuple[Framer, Framer], Framer, bytes]:
    protocol, before, way, start, more = ENDLESS[name]
    framers = framer_pair(protocol, {})
    wire.listen(framers, before)
    return framers, framers[WAYS[way]], (start + more * (size // len(more)))[:size]


@CASES
@pytest.mark.parametrize("piece", [1, 16384])
def test_what_is_kept_is_bounded(name: str, piece: int) -> None:
    """Far more is said than may be kept, in tiny pieces and in large ones."""
    framers, framer, data = endless(name, 150_000 if piece == 1 else 4 * 2**20)
    most = 0
    for at in range(0, len(data), piece):
        framer.feed(data[at : at + piece])
        if at // piece % 16 == 0:
            most = max(most, kept_bytes(framers))

    assert most < 100 * 1024


@CASES
def test_work_grows_as_the_bytes_do(name: str) -> None:
    """Byte by byte, twice as long a stream takes twice as many calls."""

    def calls(size: int) -> int:
        _, framer, data = endless(name, size)
        count = 0

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal count
            count += 1

        pieces = [data[at : at + 1] for at in range(size)]
        sys.setprofile(note)
        try:
            for piece in pieces:
                framer.feed(piece)
        finally:
            sys.setprofile(None)
        return count

    assert calls(20_000) < 2.2 * calls(10_000)


def test_every_protocol_with_messages_is_tried() -> None:
    assert {protocol for protocol, *_ in ENDLESS.values()} | {"json-lines", "bytes"} == set(PROTOCOLS)
    assert set(talks) | {"json-lines", "bytes", "frames", "http1"} == set(PROTOCOLS)


def test_long_names_of_commands_are_not_kept() -> None:
    client, _ = framers = framer_pair("resp", {})
    for number in range(500):
        client.feed(wire.command(b"x" * 5000 + b"%d" % number))

    assert kept_bytes(framers) < 100 * 1024


def test_the_names_of_prepared_statements_are_kept_only_so_long() -> None:
    client, _ = framers = framer_pair("postgres", {})
    wire.listen(framers, wire.OPEN)
    for number in range(20_000):
        client.feed(wire.parse(b"select 1", b"s%d" % number) + wire.SYNC)
        client.session.owed.clear()  # type: ignore[attr-defined]  # as if the server had answered

    assert kept_bytes(framers) < 512 * 1024
    assert wire.names(client.feed(wire.bind(b"s19999") + wire.SYNC + wire.bind(b"s0") + wire.SYNC)) == ["SELECT", "extended"]


def kept_bytes(thing: object, seen: set[int] | None = None) -> int:
    """What an object keeps alive, roughly: everything reached over slots, dicts and sequences."""
    seen = set() if seen is None else seen
    if id(thing) in seen or callable(thing):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return size + sum(kept_bytes(part, seen) for pair in thing.items() for part in pair)
    if isinstance(thing, list | tuple | deque | set):
        return size + sum(kept_bytes(part, seen) for part in thing)
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    return size + sum(kept_bytes(getattr(thing, name, None), seen) for name in slots)
