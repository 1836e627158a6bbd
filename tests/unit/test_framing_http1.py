"""HTTP/1.1 framing: where messages end, by RFC 9112, both directions of a connection together."""

from __future__ import annotations

import pytest

from pytest_coordchaos.relay.framing import Frame, Framer, framer_pair

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pair() -> tuple[Framer, Framer]:
    return framer_pair("http1", {})


def classes(frames: object) -> list[str]:
    return [frame[0] for frame in frames]  # type: ignore[attr-defined]  # any sequence of frames


def answers(request: bytes, response: bytes) -> list[Frame]:
    client, server = pair()
    client.feed(request)
    return [*server.feed(response), *server.finish()]


def test_pipelined_requests_are_as_many_messages() -> None:
    client, server = pair()
    post = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    get = b"GET /y HTTP/1.1\r\n\r\n"

    assert list(client.feed(post + get + post)) == [("POST", len(post), ()), ("GET", len(get), ()), ("POST", len(post), ())]
    assert classes(server.feed(OK * 3)) == ["response"] * 3


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_statuses_without_a_body_end_with_their_head(status: bytes) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"

    assert [size for _, size, _ in answers(b"GET / HTTP/1.1\r\n\r\n" * 2, head + OK)] == [len(head), len(OK)]


def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"

    assert [size for _, size, _ in answers(b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", head + OK)] == [len(head), len(OK)]


def test_interim_responses_belong_to_the_final_one() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

    assert answers(b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", interim + OK) == [("response", len(interim) + len(OK), ())]


def test_a_chunked_response_ends_after_its_trailers() -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"

    assert [size for _, size, _ in answers(b"GET / HTTP/1.1\r\n\r\n" * 2, response + OK)] == [len(response), len(OK)]


def test_a_response_of_no_stated_length_ends_with_the_connection() -> None:
    client, server = pair()
    client.feed(b"GET / HTTP/1.0\r\n\r\n")
    response = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"

    assert list(server.feed(response)) == []
    assert list(server.finish()) == [("response", len(response), ())]


@pytest.mark.parametrize(
    ("request_head", "response_head"),
    [
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["upgrade", "connect"],
)
def test_after_a_protocol_switch_nothing_is_framed(request_head: bytes, response_head: bytes) -> None:
    client, server = pair()

    assert len(client.feed(request_head)) == len(server.feed(response_head)) == 1
    assert list(client.feed(b"GET / HTTP/1.1\r\n\r\n")) == list(server.feed(OK)) == []
    assert client.lost
    assert server.lost


def test_a_refused_upgrade_stays_http() -> None:
    client, server = pair()
    client.feed(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
    assert len(server.feed(OK)) == 1

    assert classes(client.feed(b"GET / HTTP/1.1\r\n\r\n")) == ["GET"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\n\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
    ids=["tls", "http2", "two lengths", "negative", "no end", "no size", "chunk too long", "endless head"],
)
def test_what_cannot_be_delimited_loses_the_framer(request_bytes: bytes) -> None:
    client, _ = pair()

    assert list(client.feed(request_bytes)) == []
    assert client.lost


def test_equal_lengths_said_twice_are_one_length() -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok"

    assert list(pair()[0].feed(request)) == [("POST", len(request), ())]
