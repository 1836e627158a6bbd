"""HTTP/2 framing: gRPC messages, plain requests and responses, and the frames between them."""

from __future__ import annotations

import struct

import pytest

from pytest_coordchaos.relay.framing import Framer, framer_pair
from tests.unit.wire_samples import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    H2Client,
    Talk,
    grpc,
    h2,
    h2_response,
    listen,
    names,
)

HELLO = h2(SETTINGS, 0, 0, struct.pack(">HI", 3, 100))
ACK = h2(SETTINGS, 1)


def pair() -> tuple[Framer, Framer]:
    return framer_pair("http2", {})


def talk(client: H2Client, *said: tuple[str, bytes]) -> tuple[list[str], list[str]]:
    """Classes of a connection's messages."""
    up, down = listen(pair(), [(">", client.hello), ("<", HELLO + ACK), (">", ACK), *said])
    return names(up), names(down)


def call(client: H2Client, stream: int, path: bytes = b"/kv.KV/Put", body: bytes = b"key, value") -> bytes:
    """A unary request."""
    return client.headers(stream, path) + h2(DATA, END_STREAM, stream, grpc(body))


def test_a_unary_call_is_one_message_each_way_of_the_class_of_its_path() -> None:
    client = H2Client()
    said = [
        part
        for stream, path in ((1, b"/kv.KV/Put"), (3, b"/kv.KV/Range"), (5, b"/kv.KV/Put"))
        for part in ((">", call(client, stream, path)), ("<", h2_response(stream, grpc(b"answer"))))
    ]

    assert talk(client, *said) == (["/kv.KV/Put", "/kv.KV/Range", "/kv.KV/Put"],) * 2


def test_calls_side_by_side_are_told_apart() -> None:
    client = H2Client()
    asked = client.headers(1, b"/a/A") + client.headers(3, b"/b/B")
    data = [h2(DATA, END_STREAM, 3, grpc(b"3")), h2(DATA, 0, 1, grpc(b"1")[:3]), h2(DATA, END_STREAM, 1, grpc(b"1")[3:])]
    answers = h2_response(3, grpc(b"3")) + h2_response(1, grpc(b"1"))

    assert talk(client, (">", asked + b"".join(data)), ("<", answers)) == (["/b/B", "/a/A"], ["/b/B", "/a/A"])


def test_each_message_of_a_grpc_stream_is_one() -> None:
    """However they are cut into frames, and whatever was padded."""
    client = H2Client()
    messages = grpc(b"one") + grpc(b"") + grpc(b"three" * 1000, compressed=1)
    padded = h2(DATA, PADDED, 1, b"\x05" + messages[:20] + bytes(5))
    up = client.headers(1, b"/w/Watch") + padded + h2(DATA, 0, 1, messages[20:]) + h2(DATA, END_STREAM, 1)
    down = h2_response(1, grpc(b"a") * 2, grpc(b"b"), b"", grpc(b"c"))

    assert talk(client, (">", up), ("<", down)) == (["/w/Watch"] * 3, ["/w/Watch"] * 4)


def test_a_stream_that_only_begins_has_no_message_yet() -> None:
    client = H2Client()

    assert talk(client, (">", client.headers(1, b"/w/Watch"))) == ([], [])


def test_a_call_that_fails_without_an_answer_s_body_is_answered_all_the_same() -> None:
    client, status = H2Client(), b"\x88\x00\x0bgrpc-status\x0212"

    assert talk(client, (">", call(client, 1)), ("<", h2(HEADERS, END_HEADERS | END_STREAM, 1, status))) == (["/kv.KV/Put"],) * 2


def test_an_answer_that_is_no_grpc_is_one_message() -> None:
    client = H2Client()

    assert talk(client, (">", call(client, 1)), ("<", h2_response(1, b"<html>", b"bad gateway"))) == (["/kv.KV/Put"],) * 2


def test_a_plain_request_has_its_method_s_class_and_its_response_is_a_response() -> None:
    client = H2Client()
    get = client.headers(1, method=b"GET", content_type=b"text/plain", flags=END_STREAM)
    post = client.headers(3, content_type=b"application/grpc-web") + h2(DATA, 0, 3, grpc(b"x")) + h2(DATA, END_STREAM, 3, b"y")
    early_hints = h2(HEADERS, END_HEADERS, 1, b"\x08\x03103")

    assert talk(client, (">", get + post), ("<", early_hints + h2_response(1, b"a", b"b") + h2_response(3))) == (
        ["GET", "POST"],
        ["response", "response"],
    )


@pytest.mark.parametrize(
    ("path", "name"), [(b"/" + b"x" * 201, "grpc"), (b"/a b", "grpc"), (b"*", "grpc"), (b"/\xff", "grpc"), (b"/ok", "/ok")]
)
def test_a_path_that_is_no_name_is_not_taken_for_one(path: bytes, name: str) -> None:
    client = H2Client()

    assert talk(client, (">", call(client, 1, path)))[0] == [name]


def test_header_blocks_may_be_cut_and_padded() -> None:
    client = H2Client()
    block = client.block(b"/a/B")
    parts = [
        h2(HEADERS, END_STREAM | PADDED | PRIORITIZED, 1, b"\x03" + bytes(5) + block[:4] + bytes(3)),
        h2(CONTINUATION, 0, 1, block[4:9]),
        h2(CONTINUATION, END_HEADERS, 1, block[9:]),
    ]
    again = call(client, 3, b"/a/B")

    assert talk(client, (">", b"".join(parts) + again))[0] == ["/a/B", "/a/B"]


def test_frames_that_serve_the_connection_are_no_messages_and_their_bytes_go_with_the_next_one() -> None:
    client = H2Client()
    idle = (
        h2(PING, 0, 0, bytes(8)) + h2(WINDOW_UPDATE, 0, 0, b"\0\0\1\0") + h2(0xC, 0, 0, b"unknown") + h2(PRIORITY, 0, 9, bytes(5))
    )
    asked, goodbye = call(client, 1), h2(GOAWAY, 0, 0, bytes(8))
    up, down = listen(pair(), [(">", client.hello + idle + asked + goodbye), ("<", HELLO + ACK + idle)])

    assert up == [("/kv.KV/Put", len(client.hello + idle + asked), ())]
    assert down == []


def test_no_byte_of_whole_streams_is_forgotten() -> None:
    """What is in no message yet goes with the next one: trailers, a side that closes, a stream that was given up."""
    client = H2Client()
    up_bytes = client.hello + call(client, 1) + client.headers(3, b"/w/Watch") + h2(DATA, 0, 3, grpc(b"a") + b"\0\0")
    up_bytes += h2(RST_STREAM, 0, 3, bytes(4)) + call(client, 5)
    down_bytes = HELLO + h2_response(1, grpc(b"x")) + h2_response(5, grpc(b"y"), b"")
    framers = pair()
    up, down = listen(framers, [(">", up_bytes), ("<", down_bytes)])
    waiting = [framer.beside() for framer in framers]  # type: ignore[attr-defined]  # of this protocol's framers

    assert sum(size for _, size, _ in up) + waiting[0] == len(up_bytes)
    assert sum(size for _, size, _ in down) + waiting[1] == len(down_bytes)
    assert waiting[1] > 0, "the last trailers"


def test_a_stream_that_is_reset_leaves_no_half_message_and_its_headers_still_count_for_the_next() -> None:
    """A cancelled call: what was under way is ignored, and the table of header fields stays right."""
    client = H2Client()
    reset = h2(RST_STREAM, 0, 1, b"\0\0\0\x08")
    late = h2_response(1, grpc(b"too late"))
    began = client.headers(1, b"/a/Long") + h2(DATA, 0, 1, grpc(b"long")[:6]) + reset
    trailers = h2(HEADERS, END_HEADERS | END_STREAM, 1, client.block(b"/table/change"))

    assert talk(
        client, (">", began), ("<", late), (">", trailers + call(client, 3, b"/table/change")), ("<", h2_response(3))
    ) == (
        ["/table/change"],
        ["/table/change"],
    )


def test_streams_are_forgotten_when_both_sides_are_done() -> None:
    client, framers = H2Client(), pair()
    said: Talk = [
        part for stream in range(1, 4001, 2) for part in ((">", call(client, stream)), ("<", h2_response(stream, grpc(b"x"))))
    ]
    up, down = listen(framers, [(">", client.hello), ("<", HELLO), *said])

    assert len(up) == len(down) == 2000
    assert not framers[0].session.streams  # type: ignore[attr-defined]  # what it keeps is the question


def test_pushed_responses_are_not_counted() -> None:
    client = H2Client()
    promise = h2(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82")

    assert talk(client, (">", call(client, 1)), ("<", promise + h2_response(2, b"pushed") + h2_response(1, grpc(b"x")))) == (
        ["/kv.KV/Put"],
        ["/kv.KV/Put"],
    )


START = PREFACE + h2(SETTINGS)
GARBAGE = {
    "another protocol": (">", b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n"),
    "an upgrade": ("<", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "no settings": (">", PREFACE + h2(PING, 0, 0, bytes(8))),
    "acknowledged first": ("<", ACK),
    "short ping": (">", START + h2(PING, 0, 0, bytes(7))),
    "odd settings": (">", START + h2(SETTINGS, 0, 0, bytes(5))),
    "settings of a stream": (">", START + h2(SETTINGS, 0, 1)),
    "data of no stream": (">", START + h2(DATA, 0, 0, b"x")),
    "continuation of nothing": (">", START + h2(CONTINUATION, END_HEADERS, 1)),
    "data inside a block": (">", START + h2(HEADERS, 0, 1, b"\x82") + h2(DATA, 0, 1, b"x")),
    "another stream inside a block": (">", START + h2(HEADERS, 0, 1, b"\x82") + h2(CONTINUATION, END_HEADERS, 3)),
    "a block that is none": (">", START + h2(HEADERS, END_HEADERS, 1, b"\x80")),
    "a request without a method": (">", START + h2(HEADERS, END_HEADERS, 1, b"\x84")),
    "an endless block": (">", START + h2(HEADERS, 0, 1, b"\x82") + h2(CONTINUATION, 0, 1, b"\x82" * 16000) * 5),
    "a client that pushes": (">", START + h2(PUSH_PROMISE, END_HEADERS, 1, bytes(4))),
    "an even stream": (">", START + h2(HEADERS, END_HEADERS, 2, b"\x82")),
    "more padding than frame": (">", START + h2(HEADERS, END_HEADERS | PADDED, 1, b"\x09\x82")),
    "streams without end": (">", START + b"".join(h2(HEADERS, END_HEADERS, n, b"\x82") for n in range(1, 20_003, 2))),
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_the_protocol_loses_both_directions(said: tuple[str, bytes]) -> None:
    framers = pair()
    listen(framers, [said])

    assert [framer.lost for framer in framers] == [True, True]
