"""PostgreSQL framing: what one side says before it waits for the other is one message."""

from __future__ import annotations

import struct

import pytest

from pytest_coordchaos.relay.framing import Framer, framer_pair
from tests.unit.wire_samples import (
    CANCEL,
    DONE,
    FLUSH,
    GSS_REQUEST,
    OPEN,
    READY,
    ROWS,
    SSL_REQUEST,
    SYNC,
    WELCOME,
    Talk,
    bind,
    execute,
    listen,
    names,
    packet,
    parse,
    query,
    startup,
)

DESCRIBE = packet(b"D", b"S\0")


def pair() -> tuple[Framer, Framer]:
    return framer_pair("postgres", {})


def talk(*said: tuple[str, bytes]) -> tuple[list[str], list[str]]:
    """Classes of a session's messages after its start."""
    client, server = listen(pair(), [*OPEN, *said])
    assert sum(size for _, size, _ in client) == len(startup()) + sum(len(data) for way, data in said if way == ">")
    return names(client)[1:], names(server)[1:]


def test_a_session_starts_with_one_message_each_way() -> None:
    assert listen(pair(), OPEN) == ([("startup", len(startup()), ())], [("response", len(WELCOME), ())])


def test_each_turn_of_a_login_is_a_message() -> None:
    asked, proof = packet(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), packet(b"p", b"proof")
    more, last = packet(b"R", b"\0\0\0\x0br=,s="), packet(b"R", b"\0\0\0\x0cv=")
    client, server = listen(
        pair(), [(">", startup()), ("<", asked), (">", proof), ("<", more), (">", proof), ("<", last + WELCOME)]
    )

    assert names(client) == ["startup", "password", "password"]
    assert [size for _, size, _ in server] == [len(asked), len(more), len(last + WELCOME)]


def test_a_simple_query_is_one_message_and_all_its_rows_are_one() -> None:
    client, server = listen(pair(), [*OPEN, (">", query(b"select 1; select 2")), ("<", ROWS), (">", packet(b"X"))])

    assert client[1:] == [("SELECT", len(query(b"select 1; select 2")), ()), ("terminate", 5, ())]
    assert server[1:] == [("response", len(ROWS), ())]


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (b"insert into t values (1)", "INSERT"),
        (b"  \n(SELECT 1)", "SELECT"),
        (b"-- why\n/* a\n; b */ with x as (select 1) select 2", "WITH"),
        (b"START_REPLICATION SLOT s LOGICAL 0/0", "START_REPLICATION"),
        (b"", "query"),
        (b"/* endless", "query"),
        (b"\xff\xfe", "query"),
        (b" " * 600 + b"select 1", "query"),
        (b"x" * 100, "X" * 32),
    ],
)
def test_a_query_is_called_by_its_first_word(statement: bytes, word: str) -> None:
    assert talk((">", query(statement)))[0] == [word]


def test_an_extended_query_is_one_message_up_to_its_sync() -> None:
    batch = parse(b"insert into t values ($1)") + bind() + DESCRIBE + execute() + SYNC
    answer = packet(b"1") + packet(b"2") + packet(b"n") + DONE

    assert talk((">", batch), ("<", answer), (">", SYNC), ("<", READY)) == (["INSERT", "extended"], ["response"] * 2)


def test_a_pipeline_of_many_statements_is_one_message_with_one_sync_and_many_with_many() -> None:
    one = parse(b"update t set a = 1") + bind() + execute()

    assert talk((">", one * 5 + SYNC), ("<", packet(b"1") * 5 + DONE)) == (["UPDATE"], ["response"])
    assert talk((">", (one + SYNC) * 5), ("<", DONE * 5)) == (["UPDATE"] * 5, ["response"] * 5)


def test_a_prepared_statement_keeps_its_word_until_it_is_closed() -> None:
    close = packet(b"C", b"Ss1\0")
    classes, _ = talk(
        (">", parse(b"delete from t", b"s1") + DESCRIBE + SYNC),
        (">", bind(b"s1") + execute() + SYNC),
        (">", close + SYNC),
        (">", bind(b"s1") + execute() + SYNC),
        (">", bind(b"x" * 600) + execute() + SYNC),
        (">", parse(b"select 1", b"x" * 600) + SYNC),
    )

    assert classes == ["DELETE", "DELETE", "extended", "extended", "extended", "extended"]


def test_a_flush_waits_for_answers_like_a_sync_and_is_answered_when_the_last_of_them_came() -> None:
    prepared = packet(b"1") + packet(b"t", b"\0\0") + packet(b"T", b"\0\0")

    assert talk(
        (">", parse(b"select $1") + DESCRIBE + FLUSH),
        ("<", prepared[:5]),
        ("<", prepared[5:]),
        (">", bind() + execute() + SYNC),
        ("<", packet(b"2") + packet(b"D", b"row") + packet(b"C", b"SELECT 1\0") + READY),
    ) == (["SELECT", "SELECT"], ["response", "response"])


def test_an_error_answers_what_was_flushed_and_what_follows_it_up_to_the_sync() -> None:
    error = packet(b"E", b"SERROR\0\0")
    flushed = parse(b"select nonsense") + DESCRIBE + FLUSH

    assert talk((">", flushed + flushed), ("<", error), (">", SYNC), ("<", READY)) == (
        ["SELECT", "SELECT", "extended"],
        ["response", "response"],
    )


def test_a_flush_of_nothing_is_no_message_of_its_own() -> None:
    assert talk((">", FLUSH + query(b"select 1")), ("<", ROWS)) == (["SELECT"], ["response"])


def test_copying_in_is_two_messages_each_way() -> None:
    data = packet(b"d", b"1\t2\n") * 3 + packet(b"c")

    assert talk((">", query(b"COPY t FROM STDIN")), ("<", packet(b"G", b"\0\0\0")), (">", data), ("<", DONE)) == (
        ["COPY", "copy"],
        ["response", "response"],
    )


def test_copying_in_by_the_extended_protocol_ends_with_a_sync_of_its_own() -> None:
    ask = parse(b"copy t from stdin") + bind() + execute() + SYNC

    assert talk(
        (">", ask),
        ("<", packet(b"1") + packet(b"2") + packet(b"G", b"\0\0\0")),
        (">", packet(b"d", b"1\n") + packet(b"f", b"no\0") + SYNC),
        ("<", packet(b"E", b"x\0\0") + READY),
        (">", parse(b"select 1") + DESCRIBE + FLUSH),
        ("<", packet(b"1") + packet(b"n")),
    ) == (["COPY", "copy", "SELECT"], ["response"] * 3)


def test_copying_out_is_one_message_each_way() -> None:
    rows = packet(b"H", b"\0\0\0") + packet(b"d", b"1\n") * 5 + packet(b"c") + packet(b"C", b"COPY 5\0") + READY

    assert talk((">", query(b"copy t to stdout")), ("<", rows)) == (["COPY"], ["response"])


def test_each_part_of_a_replication_stream_is_a_message() -> None:
    wal, alive = packet(b"d", b"w" + bytes(40)), packet(b"d", b"k" + bytes(17))
    status, feedback = packet(b"d", b"r" + bytes(33)), packet(b"d", b"h" + bytes(20))

    assert talk(
        (">", query(b"START_REPLICATION 0/0 TIMELINE 1")),
        ("<", packet(b"W", b"\0\0\0") + wal + wal + alive),
        (">", status + feedback + packet(b"d", b"?")),
        ("<", packet(b"c")),
        (">", packet(b"c")),
        ("<", packet(b"C", b"x\0") + READY),
        (">", query(b"copy t to stdout")),
        ("<", packet(b"d", b"w") + DONE),
    ) == (
        ["START_REPLICATION", "status", "feedback", "copy-data", "copy-done", "COPY"],
        ["response", "wal", "wal", "keepalive", "copy-done", "response", "response"],
    )


def test_a_notification_is_a_message_and_notices_belong_to_the_next() -> None:
    told, notice = packet(b"A", b"\0\0\0\1c\0p\0"), packet(b"N", b"x\0")
    _, server = listen(pair(), [*OPEN, ("<", notice + told), (">", query(b"select 1")), ("<", ROWS)])

    assert server[1:] == [("notification", len(told), ()), ("response", len(notice + ROWS), ())]


def test_the_error_a_server_ends_a_session_with_is_a_message() -> None:
    error = packet(b"E", b"SFATAL\0\0")

    assert listen(pair(), [(">", startup()), ("<", error)])[1] == [("response", len(error), ())]


def test_a_cancel_request_is_one_message_and_has_no_answer() -> None:
    assert listen(pair(), [(">", CANCEL)]) == ([("cancel", 16, ())], [])


def test_refused_encryption_is_a_message_each_way_and_the_session_goes_on() -> None:
    client, server = listen(
        pair(), [(">", SSL_REQUEST), ("<", b"N"), (">", GSS_REQUEST), ("<", b"N"), *OPEN, (">", query(b"select 1")), ("<", ROWS)]
    )

    assert names(client) == ["ssl-request", "gss-request", "startup", "SELECT"]
    assert [size for _, size, _ in server] == [1, 1, len(WELCOME), len(ROWS)]


@pytest.mark.parametrize(("request_bytes", "answer"), [(SSL_REQUEST, b"S"), (GSS_REQUEST, b"G"), (SSL_REQUEST, b"?")])
def test_after_encryption_was_agreed_on_nothing_is_framed(request_bytes: bytes, answer: bytes) -> None:
    client, server = pair()

    assert len(client.feed(request_bytes)) == len(server.feed(answer)) == 1
    assert list(client.feed(startup())) == list(server.feed(WELCOME)) == []
    assert client.lost
    assert server.lost


GARBAGE: list[Talk] = [
    [(">", b"\x16\x03\x01\x02\x00\x01\x00\x01")],
    [(">", b"GET / HTTP/1.1\r\n\r\n")],
    [(">", struct.pack(">II", 12, 2 << 16))],
    [(">", struct.pack(">II", 7, 3 << 16))],
    [(">", struct.pack(">II", 10_001, 3 << 16))],
    [*OPEN, (">", b"?\0\0\0\4")],
    [*OPEN, (">", b"Q\0\0\0\3")],
    [*OPEN, (">", b"Q\x7f\0\0\0")],
    [*OPEN, ("<", b"?\0\0\0\4")],
    [*OPEN, ("<", b"D\0\0\0\3")],
    [*OPEN, (">", query(b"select 1") * 100_001)],
]


@pytest.mark.parametrize("said", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_not_the_protocol_loses_both_directions(said: Talk) -> None:
    framers = pair()
    listen(framers, said)

    assert [framer.lost for framer in framers] == [True, True]


def test_rows_by_the_thousand_are_one_message() -> None:
    rows = packet(b"T") + packet(b"D", b"x" * 100) * 10_000 + DONE

    assert listen(pair(), [*OPEN, (">", query(b"select 1")), ("<", rows)])[1][1] == ("response", len(rows), ())
