"""RESP framing: where commands and replies end, RESP2 and RESP3, pub/sub, and a replica's feed."""

from __future__ import annotations

import pytest

from pytest_coordchaos.relay.framing import Frame, Framer, framer_pair
from tests.unit.wire_samples import command, listen, names

MARK = b"0123456789abcdef0123456789abcdef01234567"


def pair() -> tuple[Framer, Framer]:
    return framer_pair("resp", {})


def replies(data: bytes, *said: bytes) -> list[Frame]:
    return listen(pair(), [*((">", one) for one in said), ("<", data)])[1]


def test_pipelined_commands_are_as_many_messages_named_in_capitals() -> None:
    commands = [command(b"SET", b"k", b"\r\n*1\r\n"), command(b"get", b"k"), command(b"Config", b"SET", b"", b"x")]

    assert list(pair()[0].feed(b"".join(commands))) == [
        ("SET", len(commands[0]), ()),
        ("GET", len(commands[1]), ()),
        ("CONFIG", len(commands[2]), ()),
    ]


def test_inline_commands_count_and_empty_lines_and_arrays_do_not() -> None:
    assert list(pair()[0].feed(b"PING\r\n\r\n*0\r\n*-1\r\n  set k v\n")) == [("PING", 6, ()), ("SET", 21, ())]


@pytest.mark.parametrize("name", [b"", b"\x00\xff", b"a b", b"x" * 33, b"9lives"])
def test_a_command_without_a_name_is_one_all_the_same(name: bytes) -> None:
    assert names(pair()[0].feed(command(name, b"x"))) == ["command"]


@pytest.mark.parametrize(
    "value",
    [
        b"+OK\r\n", b"-ERR no\r\n", b":-12\r\n", b"_\r\n", b"#t\r\n", b",1.5e3\r\n", b"(34928903284\r\n",
        b"$-1\r\n", b"*-1\r\n", b"$0\r\n\r\n", b"$3\r\n\r\n\n\r\n", b"!5\r\nERR x\r\n", b"=7\r\ntxt:abc\r\n",
        b"*0\r\n", b"~0\r\n", b"%0\r\n", b"*2\r\n*1\r\n:1\r\n*0\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n_\r\n", b"~1\r\n$1\r\nx\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n:7\r\n", b"|0\r\n:1\r\n",
        b"*?\r\n:1\r\n*?\r\n.\r\n$1\r\nx\r\n.\r\n", b"%?\r\n+a\r\n:1\r\n.\r\n",
        b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", b"*1\r\n$?\r\n;0\r\n",
    ],
)  # fmt: skip
def test_any_value_is_one_reply(value: bytes) -> None:
    assert replies(value * 2) == [("reply", len(value), ())] * 2


def test_pushes_are_told_from_replies() -> None:
    push = b">3\r\n+message\r\n+news\r\n$2\r\nhi\r\n"

    assert names(replies(b"+OK\r\n" + push + b":1\r\n")) == ["reply", "push", "reply"]


def test_published_messages_of_resp2_are_pushes_once_the_client_subscribed() -> None:
    published = command(b"message", b"news", b"hi")

    assert names(replies(command(b"subscribe", b"news", b"1") + published, command(b"SUBSCRIBE", b"news"))) == ["reply", "push"]
    assert names(replies(published, command(b"LRANGE", b"l", b"0", b"-1"))) == ["reply"]


@pytest.mark.parametrize(
    "snapshot",
    [b"$5\r\nREDIS", b"$EOF:" + MARK + b"\r\nREDIS\r\n*1\r\n" + MARK[:30] + MARK],
    ids=["of stated size", "of no stated size"],
)
def test_a_replica_is_sent_a_snapshot_and_then_commands(snapshot: bytes) -> None:
    feed = b"+FULLRESYNC abc 1\r\n" + b"\n" + snapshot + command(b"select", b"0") + command(b"SET", b"k", b"v") + command(b"PING")
    seen = replies(feed, command(b"PSYNC", b"?", b"-1"))

    assert names(seen) == ["reply", "snapshot", "SELECT", "SET", "PING"]
    assert sum(size for _, size, _ in seen) == len(feed)


def test_a_snapshot_s_end_is_found_however_it_is_cut() -> None:
    feed = b"$EOF:" + MARK + b"\r\n" + MARK[:39] * 2 + MARK + command(b"PING")

    assert names(listen(pair(), [(">", command(b"SYNC")), *(("<", feed[at : at + 1]) for at in range(len(feed)))])[1]) == [
        "snapshot",
        "PING",
    ]


def test_a_replica_that_was_away_for_a_moment_is_sent_commands_at_once() -> None:
    assert names(replies(b"+CONTINUE abc\r\n" + command(b"SET", b"k", b"v"), command(b"PSYNC", b"abc", b"9"))) == ["reply", "SET"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\n", b"*x\r\n", b"*1\r\n+OK\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$1\r\nabc\r\n",
        b"*1\r\n$99999999999\r\n", b"*1\r\n$67108865\r\n", b"*1\n", b"\x00" * 70_000,
        b"PING " + b"x" * 70_000 + b"\r\n", b"9\r\n",
    ],
)  # fmt: skip
def test_what_is_no_command_loses_the_framer(garbage: bytes) -> None:
    client, server = pair()

    assert names(client.feed(command(b"PING") + garbage + command(b"PING"))) == ["PING"]
    assert client.lost
    assert names(server.feed(b"+PONG\r\n")) == ["reply"], "the other direction makes sense by itself"


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\r\n", b"+OK\n", b"*1\r\nx\r\n", b".\r\n", b";1\r\n", b"*?\r\n;1\r\n", b"$?\r\n:1\r\n",
        b"*1\r\n" * 65, b"$1\r\nabc", b"+" + b"x" * 70_000, b"$\n", b"\n",
    ],
)  # fmt: skip
def test_what_is_no_value_loses_the_framer(garbage: bytes) -> None:
    _, server = pair()

    assert names(server.feed(b"+OK\r\n" + garbage)) == ["reply"]
    assert server.lost


def test_a_large_value_is_counted_without_being_kept() -> None:
    client, _ = pair()
    client.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (8 * 2**20))
    for _ in range(8):
        assert not client.feed(bytes(2**20))

    assert names(client.feed(b"\r\n")) == ["SET"]
