"""Framers: any chunking gives the same messages, and no bytes at all make one raise."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.relay.framing import Frame, Framer, framer_pair
from pytest_coordchaos.system.protocols import PROTOCOLS

CLASSES = {1: "append", 2: "ack"}


def frame(number: int, operation: int = 0, body: bytes = b"") -> bytes:
    return struct.pack(">IHQH", 12 + len(body), number, operation, 3) + body


def batch(number: int, ids: Sequence[int], body: bytes = b"") -> bytes:
    return frame(number, (1 << 63) | len(ids), struct.pack(f">{len(ids)}Q", *ids) + body)


def feed_in_chunks(framer: Framer, data: bytes, cuts: Sequence[int]) -> list[Frame]:
    out: list[Frame] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        if start < end:
            out += framer.feed(data[start:end])
    return out + list(framer.finish())


def up(protocol: str) -> Framer:
    return framer_pair(protocol, CLASSES)[0]


frames = st.builds(frame, st.integers(0, 65535), st.integers(0, 2**63 - 1), st.binary(max_size=40))
batches = st.builds(batch, st.integers(0, 3), st.lists(st.integers(0, 2**64 - 1), max_size=5), st.binary(max_size=20))
lines = st.one_of(
    st.sampled_from([b"\n", b"\r\n", b"not json\n", b'["type"]\n', b'{"type":3}\n', b'{"body":{"type":"read"}}\n']),
    st.dictionaries(st.sampled_from(["type", "body", "src"]), st.text(max_size=8)).map(
        lambda value: json.dumps(value).encode() + b"\n"
    ),
)
chunked = st.lists(st.binary(min_size=1, max_size=20), max_size=4).map(
    lambda parts: b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"
)
requests = st.one_of(
    st.binary(max_size=30).map(lambda body: b"POST /a HTTP/1.1\r\ncontent-LENGTH: %d\r\n\r\n%s" % (len(body), body)),
    chunked.map(lambda body: b"PUT /b HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + body),
    st.sampled_from([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\nDELETE /c HTTP/1.0\n\n", b"HEAD /d HTTP/1.1\r\n\r\n"]),
)
whole = {
    "frames": st.lists(st.one_of(frames, batches), max_size=8).map(b"".join),
    "json-lines": st.lists(lines, max_size=8).map(b"".join),
    "http1": st.lists(requests, max_size=6).map(b"".join),
    "bytes": st.binary(max_size=50),
}
streams = st.sampled_from(sorted(whole)).flatmap(
    lambda name: st.tuples(st.just(name), st.tuples(whole[name], st.one_of(st.just(b""), st.binary(max_size=30))).map(b"".join))
)


@given(streams, st.lists(st.integers(0, 600), max_size=12))
def test_any_chunking_gives_the_same_messages(stream: tuple[str, bytes], cuts: list[int]) -> None:
    protocol, data = stream
    one, many, single = up(protocol), up(protocol), up(protocol)

    at_once = feed_in_chunks(one, data, [])
    assert feed_in_chunks(many, data, cuts) == at_once
    assert feed_in_chunks(single, data, range(len(data))) == at_once
    assert one.lost == many.lost == single.lost


@given(st.sampled_from(PROTOCOLS), st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_no_bytes_make_a_framer_raise_or_invent_bytes(protocol: str, chunks: list[bytes], downstream: bool) -> None:
    framer = framer_pair(protocol, CLASSES)[downstream]
    found = [frame for chunk in chunks for frame in framer.feed(chunk)] + list(framer.finish())

    assert sum(size for _, size, _ in found) <= sum(map(len, chunks))


@given(st.lists(st.one_of(frames, batches), max_size=10), st.lists(st.integers(0, 600), max_size=8))
def test_all_bytes_of_whole_frames_are_framed(parts: list[bytes], cuts: list[int]) -> None:
    found = feed_in_chunks(up("frames"), b"".join(parts), cuts)

    assert [size for _, size, _ in found] == [len(part) for part in parts]


def test_every_declared_protocol_has_framers_and_undeclared_bytes_have_none() -> None:
    pairs = {protocol: framer_pair(protocol, CLASSES) for protocol in PROTOCOLS}

    assert [name for name, pair in pairs.items() if pair[0].lost or pair[1].lost] == ["bytes"]


def test_a_frame_tells_class_size_and_operation() -> None:
    data = frame(1, 77, b"x" * 5) + frame(2) + frame(9, 5) + batch(1, [4, 5, 1 << 63], b"rest")

    assert list(up("frames").feed(data)) == [
        ("append", 21, (77,)),
        ("ack", 16, ()),
        ("class-9", 16, (5,)),
        ("append", 16 + 24 + 4, (4, 5, 1 << 63)),
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">IHQH", 11, 1, 0, 0),
        struct.pack(">IHQH", 64 * 1024 * 1024 + 1, 1, 0, 0),
        struct.pack(">IHQH", 12 + 8, 1, (1 << 63) | 2, 0) + bytes(8),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["too short", "too long", "batch longer than its frame", "another protocol"],
)
def test_garbage_loses_the_framer_after_what_was_whole(garbage: bytes) -> None:
    framer = up("frames")

    assert len(framer.feed(frame(1) + garbage + frame(2))) == 1
    assert framer.lost
    assert list(framer.feed(frame(1))) == []


def test_the_longest_frame_allowed_is_counted_without_keeping_its_body() -> None:
    framer, size = up("frames"), 64 * 1024 * 1024
    framer.feed(struct.pack(">IHQH", size, 1, 0, 0))
    piece = bytes(1024 * 1024)
    found = [f for left in range(size - 12, 0, -len(piece)) for f in framer.feed(piece[:left])]

    assert found == [("append", size + 4, ())]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"type": "read", "body": {"type": "inner"}}', "read"),
        (b'{"src": "n1", "body": {"msg_id": 1, "type": "cas"}}', "cas"),
        (b'{"body": {"nested": {"type": "deep"}}}', "line"),
        (b'{"type": 3}', "line"),
        (b'{"type": ""}', "line"),
        (b'{"body": "type"}', "line"),
        (b"[1, 2]", "line"),
        (b"no json", "line"),
        (b"\xff\xfe", "line"),
        (b"[" * 5000, "line"),
    ],
)
def test_the_class_of_a_json_line(line: bytes, name: str) -> None:
    assert list(up("json-lines").feed(line + b"\r\n")) == [(name, len(line) + 2, ())]


def test_blank_lines_are_no_messages_and_an_open_line_is_none_either() -> None:
    framer = up("json-lines")

    assert list(framer.feed(b'\n \r\n{"type":"a"}')) == []
    assert list(framer.finish()) == []


def test_a_long_line_is_counted_but_an_endless_one_loses_the_framer() -> None:
    framer, piece = up("json-lines"), b"x" * (1024 * 1024)
    for _ in range(3):
        framer.feed(piece)
    assert list(framer.feed(b"\n")) == [("line", 3 * len(piece) + 1, ())]
    for _ in range(65):
        framer.feed(piece)

    assert framer.lost
