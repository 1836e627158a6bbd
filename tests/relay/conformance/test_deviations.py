"""What the relay does otherwise than Toxiproxy, on purpose: each of these Toxiproxy fails."""

from __future__ import annotations

import socket
import time

import pytest

from tests.relay.conformance.deviations import DEVIATIONS, deviation
from tests.relay.conformance.rig import SERVERS, Api, Upstream, read_all, read_exactly, running
from tests.relay.conformance.test_traffic import LOSSLESS

CONTROL_S = 5.0
ALL_TOXICS: list[tuple[str, dict[str, int]]] = [
    *LOSSLESS,
    ("timeout", {"timeout": 0}),
    ("reset_peer", {"timeout": 3_600_000}),
    ("limit_data", {"bytes": 10**12}),
]


def _hits(api: Api, upstream: Upstream, count: int) -> list[tuple[socket.socket, socket.socket]]:
    return [api.pair("p", upstream) for _ in range(count)]


def _is_hit(pair: tuple[socket.socket, socket.socket]) -> bool:
    """Whether a black hole is in force from node to client."""
    client, node = pair
    node.sendall(b"x")
    node.close()
    return read_all(client) == b""


@deviation("toxicity")
def test_which_connections_a_toxic_hits_does_not_change_when_another_comes(api: Api, upstream: Upstream) -> None:
    """limit_data 5 on half of them: sent 3 + 3 bytes, with a neighbour added between the two."""
    api.proxy("p", upstream.address)
    api.toxic("p", "timeout", toxicity=0.5, timeout=0)
    pairs = _hits(api, upstream, 40)
    before = []
    for client, node in pairs:
        node.sendall(b"abc")
        client.settimeout(0.05)
        try:
            before.append(client.recv(3) == b"")
        except TimeoutError:
            before.append(True)
        client.settimeout(20)
    api.toxic("p", "noop", name="another")
    after = [_is_hit(pair) for pair in pairs]

    assert after == before


@deviation("seed")
@pytest.mark.parametrize("kind", SERVERS)
def test_one_seed_hits_the_same_connections_again(kind: str, upstream: Upstream) -> None:
    rounds = []
    for _ in range(2):
        with running(kind, "-seed", "42") as api:
            api.proxy("p", upstream.address)
            api.toxic("p", "limit_data", toxicity=0.5, bytes=0)
            rounds.append([_is_hit(pair) for pair in _hits(api, upstream, 60)])

    assert rounds[0] == rounds[1]
    assert len(set(rounds[0])) == 2


@deviation("linger")
def test_reset_peer_that_hits_nobody_leaves_closes_as_they_are(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "reset_peer", toxicity=0, timeout=0)
    ends = []
    for _ in range(5):
        client, node = api.pair("p", upstream)
        node.close()
        ends.append(read_all(client))
        client.close()

    assert ends == [b""] * 5


@deviation("open-reset")
def test_reset_peer_resets_a_connection_that_was_open_before_it(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    for sender, receiver in ((client, node), (node, client)):
        sender.sendall(b"x")  # only now the connection is surely one of the proxy's
        assert receiver.recv(1) == b"x"
    api.toxic("p", "reset_peer", stream="upstream", timeout=0)
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        read_all(client)
    with pytest.raises(ConnectionResetError):
        read_all(node)


@deviation("rearm")
def test_reset_peer_removed_before_its_time_lets_the_connection_live(own_server: Api, upstream: Upstream) -> None:
    own_server.proxy("p", upstream.address)
    name = own_server.toxic("p", "reset_peer", stream="upstream", timeout=8000)
    client, node = own_server.pair("p", upstream)
    client.sendall(b"held")
    time.sleep(0.1)
    started = time.monotonic()
    own_server.call("DELETE", f"/proxies/p/toxics/{name}")

    assert time.monotonic() - started < CONTROL_S
    assert read_exactly(node, 4) == b"held"


@deviation("half-close")
def test_a_request_ended_by_shutdown_gets_its_reply(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert read_all(node) == b"request"
    time.sleep(0.1)
    node.sendall(b"reply")
    node.close()

    assert read_all(client) == b"reply"


@deviation("reset-kept")
def test_a_reset_arrives_as_a_reset(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    client.sendall(b"x")
    assert node.recv(1) == b"x"
    node.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    node.close()

    with pytest.raises(ConnectionResetError):
        read_all(client)


@deviation("update-whole")
def test_a_refused_update_of_a_toxic_changes_nothing(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    name = api.toxic("p", "latency", latency=1, jitter=2)
    before = api.call("GET", f"/proxies/p/toxics/{name}").json
    answer = api.call("PATCH", f"/proxies/p/toxics/{name}", '{"attributes": {"latency": 500, "jitter": "x"}}')

    assert answer.status == 400
    assert api.call("GET", f"/proxies/p/toxics/{name}").json == before


@deviation("waiting-chunk")
def test_what_waits_obeys_a_change(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    name = api.toxic("p", "latency", latency=3_600_000)
    client, node = api.pair("p", upstream)
    node.sendall(b"x")
    time.sleep(0.05)
    api.call("PATCH", f"/proxies/p/toxics/{name}", {"attributes": {"latency": 7_200_000}})
    client.settimeout(0.5)

    with pytest.raises(TimeoutError):
        client.recv(1)


@deviation("dial")
def test_an_upstream_that_does_not_answer_blocks_neither_others_nor_the_control(own_server: Api, upstream: Upstream) -> None:
    deaf = socket.socket()  # its queue of one is filled: further handshakes get no answer
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    upstream.opened += [deaf, *fillers]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(deaf.getsockname())
    own_server.proxy("p", deaf.getsockname())
    upstream.opened.append(own_server.dial("p"))
    time.sleep(0.2)
    answer = own_server.call("PATCH", "/proxies/p", {"enabled": False}, timeout_s=CONTROL_S)

    assert answer.json["enabled"] is False


@deviation("live-metrics")
@pytest.mark.parametrize("kind", SERVERS)
def test_counters_grow_while_the_connection_is_open(kind: str, upstream: Upstream) -> None:
    with running(kind, "-proxy-metrics") as api:
        api.proxy("p", upstream.address)
        client, node = api.pair("p", upstream)
        client.sendall(bytes(100))
        read_exactly(node, 100)
        listen = api.call("GET", "/proxies/p").json["listen"]
        upstream_at = f"127.0.0.1:{upstream.address[1]}"
        labels = f'{{direction="upstream",listener="{listen}",proxy="p",upstream="{upstream_at}"}}'
        metrics = api.call("GET", "/metrics").body.decode()

    assert f"toxiproxy_proxy_received_bytes_total{labels} 100" in metrics
    assert f"toxiproxy_proxy_sent_bytes_total{labels} 100" in metrics


@pytest.mark.parametrize(("kind", "values"), ALL_TOXICS, ids=[kind for kind, _ in ALL_TOXICS])
@deviation("stalled")
def test_a_toxic_comes_changes_and_goes_although_the_receiver_stalls(
    own_server: Api, upstream: Upstream, kind: str, values: dict[str, int]
) -> None:
    """The receiver reads nothing, all buffers are full; then it wakes, and has lost nothing (but to `timeout`)."""
    api = own_server
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    client.setblocking(False)
    sent = _fill(client)
    path = "/proxies/p/toxics"
    body = {"name": "t", "type": kind, "stream": "upstream", "attributes": values}
    statuses = [
        api.call(method, where, body, timeout_s=CONTROL_S).status
        for method, where in (("POST", path), ("PATCH", f"{path}/t"), ("DELETE", f"{path}/t"), ("POST", path))
    ]
    statuses += [
        api.call("DELETE", f"{path}/t", timeout_s=CONTROL_S).status,
        api.call("GET", "/proxies", timeout_s=CONTROL_S).status,
    ]
    assert statuses == [200, 200, 204, 200, 204, 200]
    client.setblocking(True)
    client.settimeout(20)
    if kind != "timeout":
        client.shutdown(socket.SHUT_WR)
        assert len(read_all(node)) == sent


@pytest.mark.parametrize(("kind", "values"), [("bandwidth", {"rate": -1}), ("slicer", {"average_size": 0})])
@deviation("odd-values")
def test_values_that_make_no_sense_do_no_harm(own_server: Api, upstream: Upstream, kind: str, values: dict[str, int]) -> None:
    own_server.proxy("p", upstream.address)
    own_server.toxic("p", kind, stream="upstream", name="t", **values)
    client, node = own_server.pair("p", upstream)
    client.sendall(b"data")
    time.sleep(0.3)
    assert own_server.call("DELETE", "/proxies/p/toxics/t").status == 204

    assert read_exactly(node, 4) == b"data"


def test_each_deviation_has_its_test() -> None:
    with open(__file__) as file:
        text = file.read()

    assert all(f'@deviation("{name}")' in text for name in DEVIATIONS)


def _fill(sock: socket.socket) -> int:
    """Send until nothing goes for half a second; returns how much went."""
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.5:
        try:
            sent += sock.send(bytes(1_000_000))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent
