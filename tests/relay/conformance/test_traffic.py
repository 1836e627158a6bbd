"""What each toxic does to bytes, to ends of streams and to connections."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest

from tests.relay.conformance.rig import Api, Upstream, read_all, read_exactly, until

LOSSLESS: list[tuple[str, dict[str, int]]] = [
    ("latency", {"latency": 5, "jitter": 4}),
    ("bandwidth", {"rate": 200_000}),
    ("slicer", {"average_size": 2000, "size_variation": 500, "delay": 10}),
    ("slow_close", {"delay": 10}),
    ("noop", {}),
]


def _took_ms(client: socket.socket, node: socket.socket) -> float:
    """Milliseconds of one message from node to client."""
    started = time.monotonic()
    node.sendall(b"ping")
    assert read_exactly(client, 4) == b"ping"
    return (time.monotonic() - started) * 1e3


@pytest.fixture
def pair(api: Api, upstream: Upstream) -> tuple[socket.socket, socket.socket]:
    """A client and its node through the proxy "p"."""
    api.proxy("p", upstream.address)
    return api.pair("p", upstream)


def test_latency_delays_its_direction_alone(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "latency", latency=300)
    assert _took_ms(client, node) >= 300

    assert min(_took_ms(node, client) for _ in range(5)) < 300


def test_latency_is_pipelined(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    """Ten messages through 300 ms each do not take ten times that."""
    client, node = pair
    api.toxic("p", "latency", latency=300)
    started = time.monotonic()
    for number in range(10):
        node.sendall(b"%d" % number)
        time.sleep(0.01)
    assert read_exactly(client, 10) == b"0123456789"

    assert 0.3 <= time.monotonic() - started < 3.0


def test_two_latencies_add_up(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "latency", name="a", latency=150)
    api.toxic("p", "latency", name="b", latency=150)

    assert _took_ms(client, node) >= 300


def test_latency_removed_lets_go_of_what_it_holds(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    name = api.toxic("p", "latency", latency=3_600_000)
    for part in (b"one", b"two"):
        node.sendall(part)
        time.sleep(0.01)
    api.call("DELETE", f"/proxies/p/toxics/{name}")

    assert read_exactly(client, 6) == b"onetwo"


def test_an_idle_end_of_stream_is_not_delayed(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "latency", latency=3_600_000)
    node.close()

    assert read_all(client) == b""


def test_a_negative_latency_is_none(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "latency", latency=-3_600_000)

    assert _took_ms(client, node) < 10_000


def test_bandwidth_limits_the_rate(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "bandwidth", rate=100)
    started = time.monotonic()
    node.sendall(bytes(50_000))
    read_exactly(client, 50_000)

    assert 0.4 <= time.monotonic() - started < 5.0


def test_bandwidth_0_holds_and_loses_nothing(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    name = api.toxic("p", "bandwidth", rate=0)
    node.sendall(b"held")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(20)
    api.call("DELETE", f"/proxies/p/toxics/{name}")

    assert read_exactly(client, 4) == b"held"


def test_slow_close_delays_the_end_alone(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "slow_close", delay=400)
    assert min(_took_ms(client, node) for _ in range(5)) < 400
    started = time.monotonic()
    node.close()
    read_all(client)

    assert time.monotonic() - started >= 0.39


def test_timeout_0_is_a_black_hole_until_it_is_removed(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    name = api.toxic("p", "timeout", timeout=0)
    node.sendall(b"lost")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(20)
    api.call("DELETE", f"/proxies/p/toxics/{name}")

    assert read_all(client) == b""
    assert read_all(node) == b""


def test_timeout_closes_after_so_long_without_data(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "timeout", timeout=400)
    started = time.monotonic()
    for _ in range(3):
        time.sleep(0.2)
        node.sendall(b"lost")
    assert read_all(client) == b""
    assert time.monotonic() - started >= 0.6 + 0.39

    assert read_all(node) == b""


def test_a_timeout_that_is_changed_keeps_the_connection(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    name = api.toxic("p", "timeout", timeout=3_600_000)
    api.call("PATCH", f"/proxies/p/toxics/{name}", {"attributes": {"timeout": 0}})
    client.sendall(b"alive")

    assert read_exactly(node, 5) == b"alive"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_reset_peer_resets_both_ends_after_the_first_data(api: Api, upstream: Upstream, stream: str) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "reset_peer", stream=stream, timeout=200)
    client, node = api.pair("p", upstream)
    started = time.monotonic()
    (client if stream == "upstream" else node).sendall(b"x")
    for end in (client, node):
        with pytest.raises(ConnectionResetError):
            read_all(end)

    assert time.monotonic() - started >= 0.19


def test_an_idle_connection_is_not_reset(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "reset_peer", stream="upstream", timeout=0)
    client, node = api.pair("p", upstream)
    time.sleep(0.2)
    node.sendall(b"fine")

    assert read_exactly(client, 4) == b"fine"


def test_slicer_cuts_and_pauses_and_loses_nothing(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "slicer", average_size=100, size_variation=0, delay=20_000)
    data = random.Random(1).randbytes(1600)
    started = time.monotonic()
    node.sendall(data)
    parts = []
    while sum(map(len, parts)) < len(data):
        parts.append(client.recv(65536))

    assert b"".join(parts) == data
    assert len(parts) > 4
    assert time.monotonic() - started >= 0.29


@pytest.mark.parametrize("limit", [0, 1, 100, 100_000])
def test_limit_data_passes_exactly_so_much_and_closes(api: Api, pair: tuple[socket.socket, socket.socket], limit: int) -> None:
    client, node = pair
    api.toxic("p", "limit_data", bytes=limit)
    data = random.Random(2).randbytes(limit)
    sender = threading.Thread(target=_send, args=(node, data + b"more"))
    sender.start()
    got = read_all(client)
    sender.join()

    assert got == data


def test_limit_data_counts_on_through_a_change_and_each_connection_by_itself(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    name = api.toxic("p", "limit_data", bytes=100)
    client, node = api.pair("p", upstream)
    other, other_node = api.pair("p", upstream)
    node.sendall(bytes(40))
    read_exactly(client, 40)
    api.call("PATCH", f"/proxies/p/toxics/{name}", {"attributes": {"bytes": 50}})
    node.sendall(bytes(10))
    assert len(read_all(client)) == 10
    other_node.sendall(bytes(50))

    assert len(read_all(other)) == 50


def test_noop_does_nothing(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    api.toxic("p", "noop")
    node.sendall(b"x")

    assert read_exactly(client, 1) == b"x"


@pytest.mark.parametrize(("toxicity", "hit"), [(0, False), (-1, False), (1, True), (2.5, True)])
def test_toxicity_says_whether_a_connection_is_hit(api: Api, upstream: Upstream, toxicity: float, hit: bool) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "limit_data", toxicity=toxicity, bytes=0)
    client, node = api.pair("p", upstream)
    node.sendall(b"x")
    node.close()

    assert read_all(client) == (b"" if hit else b"x")


def test_about_half_of_the_connections_are_hit_by_a_toxicity_of_a_half(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "limit_data", toxicity=0.5, bytes=0)
    hits = 0
    for _ in range(200):
        client, node = api.pair("p", upstream)
        node.sendall(b"x")
        node.close()
        hits += read_all(client) == b""

    assert 60 < hits < 140  # six standard deviations


def test_no_byte_is_lost_while_toxics_come_change_and_go(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    rng, data = random.Random(7), random.Random(8).randbytes(8_000_000)
    senders = [threading.Thread(target=_send, args=(end, data, True)) for end in (client, node)]
    got = {client: b"", node: b""}
    readers = [threading.Thread(target=lambda end=end: got.update({end: read_exactly(end, len(data))})) for end in (client, node)]
    for thread in senders + readers:
        thread.start()
    names: list[str] = []
    for number in range(60):
        kind, values = rng.choice(LOSSLESS)
        if names and rng.random() < 0.4:
            api.call("DELETE", f"/proxies/p/toxics/{names.pop(rng.randrange(len(names)))}")
        elif len(names) < 4:
            names.append(api.toxic("p", kind, name=f"t{number}", stream=rng.choice(["upstream", "downstream"]), **values))
    for name in names:
        api.call("DELETE", f"/proxies/p/toxics/{name}")
    for thread in senders + readers:
        thread.join(60)

    assert got[client] == data
    assert got[node] == data


@pytest.mark.parametrize(("kind", "values"), [*LOSSLESS, ("limit_data", {"bytes": 10}), ("timeout", {"timeout": 0})])
def test_a_toxic_is_added_and_removed_although_the_connection_is_broken(
    api: Api, upstream: Upstream, kind: str, values: dict[str, int]
) -> None:
    api.proxy("p", upstream.address)
    first = api.toxic("p", "noop", name="first")
    client, node = api.pair("p", upstream)
    node.close()
    client.sendall(b"into the void")
    name = api.toxic("p", kind, name="second", **values)
    for toxic in (first, name):
        assert api.call("DELETE", f"/proxies/p/toxics/{toxic}").status == 204


def test_toxics_of_a_proxy_act_on_connections_that_are_open(api: Api, pair: tuple[socket.socket, socket.socket]) -> None:
    client, node = pair
    node.sendall(b"before")
    read_exactly(client, 6)
    api.toxic("p", "latency", latency=200)

    assert _took_ms(client, node) >= 200
    until(lambda: api.call("DELETE", "/proxies/p/toxics/latency_downstream").status == 204, "it is removed")
    assert min(_took_ms(client, node) for _ in range(5)) < 200


def _send(sock: socket.socket, data: bytes, slowly: bool = False) -> None:
    try:
        for start in range(0, len(data), 50_000):
            sock.sendall(data[start : start + 50_000])
            if slowly:
                time.sleep(0.001)
    except OSError:
        pass
