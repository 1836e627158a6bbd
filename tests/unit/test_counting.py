"""Every rule of docs/reference/counting.md, by its id; the last test holds doc and tests together."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_coordchaos.cost.budgets import IdleRate, evaluate, idle_rate
from pytest_coordchaos.cost.figures import figures
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.model import History
from pytest_coordchaos.relay.datagram_flow import DatagramFlow
from pytest_coordchaos.relay.frame_formats import DatagramFormat, format_of
from pytest_coordchaos.relay.framing import framer_pair
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.run import BudgetRequest
from pytest_coordchaos.system.model import Port
from pytest_coordchaos.verdicts import Status, Verdict
from tests.unit import wire_samples as wire
from tests.unit.cost_samples import NODES, PEER, client_message, history, ledger, message, operation, puts, totals

PLAIN = Port("peer", protocol="frames")
RAW = Port("peer")


def judged(
    name: str,
    limit: float,
    past: History,
    crossed: Ledger,
    *,
    op: str | None = None,
    ports: Sequence[Port] = (PEER,),
    idle: IdleRate | None = None,
) -> Verdict:
    """The verdict on one limit."""
    (verdict,) = evaluate(BudgetRequest(op=op, limits={name: limit}), past, crossed, ports, NODES, idle)
    return verdict


def per_op(
    past: History,
    crossed: Ledger,
    *,
    op: str | None = None,
    name: str = "messages_per_op",
    ports: Sequence[Port] = (PEER,),
    idle: IdleRate | None = None,
) -> float | None:
    """What one budget measures."""
    return judged(name, 1e9, past, crossed, op=op, ports=ports, idle=idle).measured


def frame(number: int, operation_id: int = 0, body: bytes = b"") -> bytes:
    """One frame of our protocol."""
    return struct.pack(">IHQH", 12 + len(body), number, operation_id, 1) + body


def test_rule_frames() -> None:
    there, _ = framer_pair("frames", {1: "append"})
    assert [name for name, _, _ in there.feed(frame(1) + frame(1, 7, b"body"))] == ["append", "append"]


def test_rule_http1() -> None:
    there, back = framer_pair("http1", {})
    requests = there.feed(b"POST /kv HTTP/1.1\r\nHost: n1\r\nContent-Length: 2\r\n\r\nhi")
    responses = back.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (len(requests), len(responses)) == (1, 1)


def test_rule_json_lines() -> None:
    there, _ = framer_pair("json-lines", {})
    assert len(there.feed(b'{"type": "put"}\n{"type": "get"}\n{"type"')) == 2


def heard(protocol: str, talk: wire.Talk) -> tuple[list[str], list[str]]:
    """Classes of the messages of a conversation, either way."""
    up, down = wire.listen(framer_pair(protocol, {}), talk)
    return wire.names(up), wire.names(down)


def sql(*turns: tuple[str, bytes]) -> tuple[list[str], list[str]]:
    """What follows the start of a session."""
    up, down = heard("postgres", [*wire.OPEN, *turns])
    return up[1:], down[1:]


def test_rule_http2() -> None:
    client = wire.H2Client()
    get = client.headers(1, method=b"GET", content_type=b"text/html", flags=wire.END_STREAM)
    talk: wire.Talk = [(">", client.hello + get), ("<", wire.h2(wire.SETTINGS) + wire.h2_response(1, b"a", b"b"))]
    assert heard("http2", talk) == (["GET"], ["response"])


def test_rule_http2_grpc() -> None:
    client, one = wire.H2Client(), wire.grpc(b"x")
    unary, stream, failing = (client.headers(number, b"/kv.KV/Put") for number in (1, 3, 5))
    asked = unary + wire.h2(wire.DATA, wire.END_STREAM, 1, one) + stream + wire.h2(wire.DATA, wire.END_STREAM, 3, one * 3)
    asked += failing + wire.h2(wire.DATA, wire.END_STREAM, 5, one)
    answered = wire.h2(wire.SETTINGS) + wire.h2_response(1, one) + wire.h2_response(3, one, one) + wire.h2_response(5)
    up, down = heard("http2", [(">", client.hello + asked), ("<", answered)])
    assert (up, down) == (["/kv.KV/Put"] * (1 + 3 + 1), ["/kv.KV/Put"] * (1 + 2 + 1))


def test_rule_http2_upkeep() -> None:
    client, ping = wire.H2Client(), wire.h2(wire.PING, 0, 0, bytes(8))
    asked = client.hello + ping * 5 + client.headers(1, flags=wire.END_STREAM)
    up, _ = wire.listen(framer_pair("http2", {}), [(">", asked), (">", wire.h2(wire.RST_STREAM, 0, 1, bytes(4)))])
    assert [size for _, size, _ in up] == [len(asked)]


def test_rule_postgres() -> None:
    assert sql((">", wire.query(b"select 1")), ("<", wire.ROWS)) == (["SELECT"], ["response"])


def test_rule_postgres_extended() -> None:
    batch, unknown = wire.parse(b"insert into t") + wire.bind() + wire.execute(), wire.bind(b"unknown") + wire.execute()
    assert sql((">", batch + wire.SYNC), ("<", wire.DONE)) == (["INSERT"], ["response"])
    assert sql((">", unknown + wire.FLUSH), ("<", wire.packet(b"2") + wire.packet(b"C"))) == (["extended"], ["response"])


def test_rule_postgres_session() -> None:
    ask = wire.packet(b"R", b"\0\0\0\3")
    talk: wire.Talk = [
        (">", wire.SSL_REQUEST), ("<", b"N"), (">", wire.startup()), ("<", ask),
        (">", wire.packet(b"p")), ("<", wire.WELCOME), (">", wire.packet(b"X")),
    ]  # fmt: skip
    assert heard("postgres", talk) == (["ssl-request", "startup", "password", "terminate"], ["response"] * 3)
    assert heard("postgres", [(">", wire.CANCEL)]) == (["cancel"], [])
    assert heard("postgres", [(">", wire.SSL_REQUEST), ("<", b"S"), (">", b"\x16\3\1")]) == (["ssl-request"], ["response"])


def test_rule_postgres_copy() -> None:
    data = wire.packet(b"d", b"1\n")
    come_in = [
        (">", wire.query(b"copy t from stdin")),
        ("<", wire.packet(b"G")),
        (">", data * 9 + wire.packet(b"c")),
        ("<", wire.DONE),
    ]
    assert sql(*come_in) == (["COPY", "copy"], ["response"] * 2)
    assert sql((">", wire.query(b"copy t to stdout")), ("<", wire.packet(b"H") + data * 9 + wire.DONE)) == (
        ["COPY"],
        ["response"],
    )


def test_rule_postgres_replication() -> None:
    parts = [wire.packet(b"d", kind + bytes(30)) for kind in (b"w", b"k", b"?")]
    start, confirmed = wire.query(b"START_REPLICATION 0/0"), wire.packet(b"d", b"r") + wire.packet(b"d", b"h")
    assert sql((">", start), ("<", wire.packet(b"W") + b"".join(parts)), (">", confirmed)) == (
        ["START_REPLICATION", "status", "feedback"],
        ["response", "wal", "keepalive", "copy-data"],
    )


def test_rule_postgres_notification() -> None:
    assert sql(("<", wire.packet(b"A", b"told") + wire.packet(b"N", b"notice"))) == ([], ["notification"])


def test_rule_resp() -> None:
    talk: wire.Talk = [(">", wire.command(b"set", b"k", b"v") + b"PING\r\n"), ("<", b"+OK\r\n*2\r\n*1\r\n:1\r\n$1\r\nx\r\n")]
    assert heard("resp", talk) == (["SET", "PING"], ["reply", "reply"])


def test_rule_resp_push() -> None:
    published = wire.command(b"message", b"news", b"hi")
    assert heard("resp", [("<", b">2\r\n+invalidate\r\n*0\r\n")]) == ([], ["push"])
    assert heard("resp", [(">", wire.command(b"SUBSCRIBE", b"news")), ("<", published)]) == (["SUBSCRIBE"], ["push"])


def test_rule_resp_replica() -> None:
    feed = b"+FULLRESYNC id 0\r\n$3\r\nRDB" + wire.command(b"SET", b"k", b"v")
    assert heard("resp", [(">", wire.command(b"PSYNC", b"?", b"-1")), ("<", feed)]) == (["PSYNC"], ["reply", "snapshot", "SET"])


def test_rule_replies() -> None:
    assert per_op(puts(1), ledger(message(ids=(1,)), message("append-ack", ids=(1,), reply=True))) == 2


def test_rule_undeclared_protocol() -> None:
    crossed, idle = (
        ledger(more=(totals(1000, 0, protocol="bytes"),)),
        IdleRate(seconds=1, messages_per_s={}, bytes_per_s={"peer": 100}),
    )
    unknown = judged("messages_per_op", 1e9, puts(2), crossed, ports=(RAW,), idle=idle)
    assert unknown.status is Status.UNKNOWN
    assert "declares no protocol" in unknown.summary
    assert per_op(puts(2), crossed, name="bytes_per_op", ports=(RAW,), idle=idle) == (1000 - 200) / 2


@pytest.mark.parametrize(("framed", "status"), [(94, Status.UNKNOWN), (95, Status.HELD)])
def test_rule_unframed_bytes(framed: int, status: Status) -> None:
    crossed = Ledger(messages=(message(ids=(1,)),), totals=(totals(100, framed),), end_ns=10**9)
    assert judged("messages_per_op", 9, puts(1), crossed).status is status


def test_rule_node_to_node() -> None:
    assert per_op(puts(1), ledger(message(ids=(1,)), client_message((1,)), client_message((1,)))) == 1


def test_rule_offered() -> None:
    assert per_op(puts(1), ledger(message(ids=(1,)), message(ids=(1,), delivered=False))) == 2


def test_rule_retries() -> None:
    again = message(ids=(1,))
    assert per_op(puts(1), ledger(again, again, again), op="put") == 3


def test_rule_background_declared() -> None:
    assert per_op(puts(2), ledger(message(ids=(1,)), message(ids=(2,)), *[message("heartbeat")] * 50)) == 1


def test_rule_background_undeclared_takes_the_idle_rate_off() -> None:
    idle = idle_rate(ledger(*[message("ping")] * 3, seconds=1.0), [PLAIN], NODES)
    verdict = judged("messages_per_op", 4, puts(2), ledger(*[message("any")] * 14, seconds=2.0), ports=(PLAIN,), idle=idle)
    assert verdict.measured == (14 - 3 * 2) / 2
    assert (
        "background taken from an idle window of 1.0 s: 3 messages/s; load suppresses heartbeats, so this undercounts"
        in verdict.details
    )


def test_rule_background_undeclared_never_below_nothing() -> None:
    idle = IdleRate(seconds=1, messages_per_s={"peer": 1000.0}, bytes_per_s={})
    assert per_op(puts(2), ledger(message("any")), ports=(PLAIN,), idle=idle) == 0


@pytest.mark.parametrize(("limit", "status"), [(1.9, Status.UNKNOWN), (2, Status.HELD), (2.1, Status.HELD)])
def test_rule_background_undeclared_without_an_idle_window(limit: float, status: Status) -> None:
    verdict = judged("messages_per_op", limit, puts(2), ledger(*[message("any")] * 4), ports=(PLAIN,))
    assert verdict.status is status
    assert "no idle window was measured" in verdict.summary + "".join(verdict.details)
    assert ("held: at most 2 <= " in verdict.summary) == (limit >= 2)
    assert figures(puts(2), ledger(message("any")), [PLAIN], NODES).messages_per_op is None


def test_rule_background_rate() -> None:
    crossed = ledger(*[message("heartbeat")] * 6, message(), seconds=2.0)
    assert per_op(puts(1), crossed, name="background_messages_per_s") == 3
    assert per_op(puts(1), crossed, name="background_bytes_per_s") == 3 * message("heartbeat").size_bytes


def test_rule_background_rate_of_an_idle_window() -> None:
    idle = IdleRate(seconds=1, messages_per_s={"peer": 7.5}, bytes_per_s={"peer": 60.5})
    assert per_op(puts(1), ledger(message("any")), name="background_messages_per_s", ports=(PLAIN,), idle=idle) == 7.5
    assert per_op(puts(1), ledger(message("any")), name="background_bytes_per_s", ports=(PLAIN,), idle=idle) == 60.5


def test_rule_denominator() -> None:
    past = history(operation(1), operation(2, outcome="fail"), operation(3, outcome="info"), operation(4))
    assert per_op(past, ledger(*[message()] * 8)) == 2


def test_rule_denominator_when_nothing_ended_ok() -> None:
    verdict = judged("messages_per_op", 1e9, history(operation(1, outcome="fail")), ledger(message(ids=(1,))), op="put")
    assert (verdict.status, verdict.measured) == (Status.UNKNOWN, None)
    assert "none of 1 'put' operations ended ok" in verdict.summary


def test_rule_whole_window() -> None:
    assert per_op(puts(2), ledger(message(ids=(1,)), message("no-op"), message(ids=(999,)), message(ids=(2,)))) == 2


def test_rule_attribution() -> None:
    past = history(operation(1), operation(2, "get"), operation(3))
    crossed = ledger(message(ids=(1,)), message(ids=(3,)), message("ack", ids=(3,)), message("read", ids=(2,)), message("no-op"))
    verdict = judged("messages_per_op", 2, past, crossed, op="put")
    assert verdict.measured == 1.5
    assert "attributed to an operation: 80% of 5 foreground messages" in verdict.details


def test_rule_attribution_of_operations_outside_the_window() -> None:
    past = history(operation(5), operation(6, "get"))
    assert per_op(past, ledger(message(ids=(5,)), message(ids=(1,)), message(ids=(1, 5))), op="put") == 1.5


def test_rule_attribution_without_names_when_all_are_of_one_kind() -> None:
    assert per_op(puts(2), ledger(*[message()] * 6), op="put") == 3


def test_rule_attribution_without_names_when_kinds_are_mixed() -> None:
    verdict = judged("messages_per_op", 1e9, history(operation(1), operation(2, "get")), ledger(message()), op="put")
    assert verdict.status is Status.UNKNOWN
    assert "messages do not name their operation, and the window holds other operations too: get" in verdict.summary


def test_rule_attribution_without_names_on_one_of_two_ports() -> None:
    """A second port that names nothing must not make the cost of an operation look smaller."""
    gossip = Port("gossip", protocol="json-lines", background=frozenset())
    crossed = ledger(message(ids=(1,)), message("digest", port="gossip"))
    verdict = judged("messages_per_op", 1e9, history(operation(1), operation(2, "get")), crossed, op="put", ports=(PEER, gossip))
    assert verdict.status is Status.UNKNOWN


def test_rule_batch() -> None:
    past = history(operation(1), operation(2), operation(3, "get"))
    assert per_op(past, ledger(message(ids=(1, 2, 3)), message(ids=(1, 2, 3))), op="get") == pytest.approx(2 / 3)
    assert per_op(puts(3), ledger(*[message(ids=(1, 2, 3))] * 3), op="put") == 1  # exactly: no rounding may tip a limit


def test_rule_bytes_of_foreground_frames() -> None:
    crossed = ledger(message(ids=(1,), size=70), message("ack", ids=(1,), size=30), message("heartbeat", size=5000))
    assert per_op(puts(1), crossed, name="bytes_per_op") == 100
    assert per_op(puts(1), crossed, name="bytes_per_op", op="put") == 100


def test_rule_bytes_less_the_idle_rate() -> None:
    idle = idle_rate(ledger(message("ping", size=40), seconds=1.0), [PLAIN], NODES)
    assert (
        per_op(puts(2), ledger(message("any", size=1000), seconds=2.0), name="bytes_per_op", ports=(PLAIN,), idle=idle)
        == (1000 - 80) / 2
    )


def test_rule_bytes_of_a_raw_port_that_declares_no_background() -> None:
    raw = Port("peer", background=frozenset())
    assert per_op(puts(2), ledger(more=(totals(600, 0, protocol="bytes"),)), name="bytes_per_op", ports=(raw,)) == 300


def test_rule_latency_start() -> None:
    late = history(operation(1, latency_ms=40.0, late_ms=39.0))
    assert per_op(late, ledger(), name="p50_ms") == 40


def test_rule_latency_rank() -> None:
    past = history(*(operation(i, latency_ms=float(i)) for i in range(1, 201)))
    assert (per_op(past, ledger(), name="p50_ms"), per_op(past, ledger(), name="p99_ms")) == (100, 198)


@pytest.mark.parametrize(
    ("name", "limit", "status"),
    [
        ("p50_ms", 9.0, Status.VIOLATED),  # 10 ms even if the unanswered had been answered when given up
        ("p50_ms", 10.0, Status.UNKNOWN),
        ("p50_ms", 20.0, Status.HELD),  # 20 ms even if the unanswered last for ever
        ("p99_ms", 999.0, Status.VIOLATED),
        ("p99_ms", 5000.0, Status.UNKNOWN),  # nobody knows how long the slowest one took
    ],
)
def test_rule_latency_info(name: str, limit: float, status: Status) -> None:
    answered = [operation(1, latency_ms=20.0), operation(2, latency_ms=10.0)]
    past = history(*answered, operation(3, "put", "info", 1.0), operation(4, "put", "info", 1000.0))
    assert judged(name, limit, past, ledger()).status is status


def test_rule_latency_info_that_cannot_move_the_percentile() -> None:
    """A connection reset at once ends in info after a moment; the median stays judgeable."""
    past = history(*(operation(i, latency_ms=5.0) for i in range(1, 10)), operation(10, "put", "info", 0.1))
    assert judged("p50_ms", 5, past, ledger()).status is Status.HELD


def test_rule_latency_fails_quick_ones_do_not_help() -> None:
    past = history(operation(1, latency_ms=100.0), *(operation(i, "put", "fail", 0.1) for i in range(2, 100)))
    assert per_op(past, ledger(), name="p50_ms") == 100


def test_rule_latency_fails_slow_ones_do_not_hide() -> None:
    past = history(operation(1, latency_ms=1.0), operation(2, "put", "fail", 900.0))
    assert per_op(past, ledger(), name="p99_ms") == 900


def test_rule_inclusive() -> None:
    assert judged("messages_per_op", 2, puts(1), ledger(message(), message())).status is Status.HELD


@pytest.mark.parametrize("name", ["messages_per_op", "bytes_per_op", "background_messages_per_s", "background_bytes_per_s"])
def test_rule_nothing_seen_no_traffic(name: str) -> None:
    verdict = judged(name, 1e9, puts(1), ledger(client_message((1,))))
    assert verdict.status is Status.UNKNOWN
    assert "no node-to-node traffic was seen" in verdict.summary


@pytest.mark.parametrize("name", ["messages_per_op", "bytes_per_op", "p50_ms", "p99_ms"])
def test_rule_nothing_seen_no_operation(name: str) -> None:
    verdict = judged(name, 1e9, puts(3), ledger(message(ids=(1,))), op="get")
    assert verdict.status is Status.UNKNOWN
    assert "no 'get' operation was recorded" in verdict.summary


@pytest.mark.parametrize("name", ["messages_per_op", "bytes_per_op", "background_messages_per_s", "background_bytes_per_s"])
def test_rule_incomplete(name: str) -> None:
    verdict = judged(name, 0, puts(1), ledger(message(ids=(1,)), complete=False, note="its store was full"))
    assert verdict.status is Status.UNKNOWN
    assert "the ledger is incomplete: its store was full" in verdict.summary


@pytest.mark.parametrize(("data", "name"), [(b"no json", "line"), (b"", "datagram"), (b'{"type": "ping"}\n{}\n', "datagram")])
def test_rule_datagrams(data: bytes, name: str) -> None:
    store, tally = Store(), Tally(0)

    class Loop:
        """Nothing waits here."""

    flow = DatagramFlow(
        Loop(),  # type: ignore[arg-type]  # no timer is needed
        form=DatagramFormat(format_of("json-lines", {})),
        framing=("json-lines", {}),
        draw=tuple,
        store=store,
        tally=tally,
        send=len,
        stopped=None,
    )
    flow.offer(data, 1)
    flow.offer(b'{"type": "ping"}', 2)
    assert (tally.messages, tally.framed, tally.offered) == (2, len(data) + 16, len(data) + 16)
    assert store.class_names == [name, "ping"]


@pytest.mark.parametrize("name", ["messages_per_op", "bytes_per_op", "background_messages_per_s", "background_bytes_per_s"])
def test_rule_bypass(name: str) -> None:
    verdict = judged(name, 1e9, puts(1), ledger(message(ids=(1,)), bypasses=("n1 reached n2 directly",)))
    assert verdict.status is Status.UNKNOWN
    assert "went round the relay: n1 reached n2 directly" in verdict.summary


def test_rule_shares() -> None:
    crossed = Ledger(messages=(message(ids=(1,)), message("no-op")), totals=(totals(100, 97),), end_ns=10**9)
    shown = figures(puts(1), crossed, [PEER], NODES)
    assert (shown.framed_share, shown.attributed_share) == (0.97, 0.5)


def test_every_rule_of_the_document_has_a_test_and_every_test_a_rule() -> None:
    document = Path(__file__).parents[2] / "docs" / "reference" / "counting.md"
    rules = re.findall(r"^\| `([a-z0-9-]+)` \|", document.read_text(encoding="utf-8"), re.MULTILINE)
    tests = [name.removeprefix("test_rule_") for name in globals() if name.startswith("test_rule_")]
    untested = [rule for rule in rules if not any(test.startswith(rule.replace("-", "_")) for test in tests)]
    unstated = [test for test in tests if not any(test.startswith(rule.replace("-", "_")) for rule in rules)]
    assert len(rules) == len(set(rules)) >= 20
    assert (untested, unstated) == ([], [])
