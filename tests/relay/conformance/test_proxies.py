"""The life of a proxy: listening, passing bytes, being disabled, changed and deleted."""

from __future__ import annotations

import socket

import pytest

from tests.relay.conformance.rig import Api, Upstream, free_port, read_all, read_exactly, until

GONE = ("127.0.0.1", 1)


def _refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def _listens(api: Api, name: str) -> tuple[str, int]:
    host, _, port = api.call("GET", f"/proxies/{name}").json["listen"].rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("size", [1, 1000, 64 * 1024, 3_000_000])
def test_bytes_pass_both_ways(api: Api, upstream: Upstream, size: int) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    data = bytes(range(251)) * (size // 251 + 1)
    client.sendall(data[:size])
    assert read_exactly(node, size) == data[:size]
    node.sendall(data[:size][::-1])

    assert read_exactly(client, size) == data[:size][::-1]


def test_an_upstream_that_closes_ends_the_clients_stream(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    node.sendall(b"bye")
    node.close()

    assert read_all(client) == b"bye"


def test_an_upstream_that_refuses_gives_a_connection_and_its_end(api: Api) -> None:
    api.proxy("p", ("127.0.0.1", free_port()))
    with api.dial("p") as client:
        assert read_all(client) == b""


def test_a_disabled_proxy_refuses_closes_what_is_open_and_keeps_its_toxics(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "noop")
    client, node = api.pair("p", upstream)
    address = _listens(api, "p")
    answer = api.call("PATCH", "/proxies/p", {"enabled": False})

    assert answer.json["enabled"] is False
    assert _refused(address)
    assert read_all(client) == b""
    assert read_all(node) == b""
    answer = api.call("PATCH", "/proxies/p", {"enabled": True})
    assert len(answer.json["toxics"]) == 1
    assert _listens(api, "p") == address
    client, node = api.pair("p", upstream)
    client.sendall(b"again")
    assert read_exactly(node, 5) == b"again"


def test_what_toxics_hold_of_a_disabled_proxy_is_dropped(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    api.toxic("p", "bandwidth", rate=0)
    client, node = api.pair("p", upstream)
    node.sendall(b"never")
    api.call("PATCH", "/proxies/p", {"enabled": False})

    assert read_all(client) == b""


def test_a_proxy_made_disabled_has_no_port_until_it_is_enabled(api: Api, upstream: Upstream) -> None:
    made = api.proxy("p", upstream.address, enabled=False)
    assert made.json["listen"] == "127.0.0.1:0"
    api.call("PATCH", "/proxies/p", {"enabled": True})
    client, node = api.pair("p", upstream)
    client.sendall(b"x")

    assert read_exactly(node, 1) == b"x"


def test_names_of_hosts_come_back_resolved(api: Api) -> None:
    made = api.proxy("p", GONE, listen="localhost:0")

    assert made.json["listen"].startswith("127.0.0.1:")


@pytest.mark.parametrize("listen", ["", ":0", "0.0.0.0:0", "[::]:0"])
def test_no_host_means_every_address(api: Api, upstream: Upstream, listen: str) -> None:
    made = api.proxy("p", upstream.address, listen=listen)
    assert made.json["listen"].startswith("[::]:")
    port = int(made.json["listen"].rpartition(":")[2])
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as client:
            client.connect((host, port))
            client.sendall(b"x")
            assert read_exactly(upstream.accept(), 1) == b"x"


def test_an_upstream_by_name_is_reached(api: Api, upstream: Upstream) -> None:
    api.proxy("p", ("localhost", upstream.address[1]))
    client, node = api.pair("p", upstream)
    client.sendall(b"x")

    assert read_exactly(node, 1) == b"x"


def test_the_same_listen_by_another_name_keeps_connections(api: Api, upstream: Upstream) -> None:
    made = api.proxy("p", upstream.address)
    client, node = api.pair("p", upstream)
    api.call("PATCH", "/proxies/p", {"listen": made.json["listen"].replace("127.0.0.1", "localhost")})
    client.sendall(b"kept")

    assert read_exactly(node, 4) == b"kept"


def test_another_upstream_closes_connections_and_leads_elsewhere(api: Api, upstream: Upstream) -> None:
    other = Upstream()
    api.proxy("p", upstream.address)
    client, _ = api.pair("p", upstream)
    address = _listens(api, "p")
    answer = api.call("POST", "/proxies/p", {"upstream": f"127.0.0.1:{other.address[1]}"})
    assert answer.json["upstream"] == f"127.0.0.1:{other.address[1]}"
    assert read_all(client) == b""
    client, node = api.pair("p", other)
    client.sendall(b"x")

    assert read_exactly(node, 1) == b"x"
    assert _listens(api, "p") == address
    other.close()


def test_another_listen_gives_another_port(api: Api) -> None:
    api.proxy("p", GONE)
    old = _listens(api, "p")
    api.call("PATCH", "/proxies/p", {"listen": "127.0.0.1:0"})

    assert _listens(api, "p") != old
    assert _refused(old)


def test_an_update_renames_nothing_and_may_empty_the_upstream(api: Api) -> None:
    api.proxy("p", GONE)
    answer = api.call("PATCH", "/proxies/p", {"name": "q", "upstream": ""})

    assert (answer.status, answer.json["name"], answer.json["upstream"]) == (200, "p", "")


def test_a_proxy_that_could_not_listen_can_later(api: Api, upstream: Upstream) -> None:
    blocker = socket.create_server(("127.0.0.1", 0))
    port = blocker.getsockname()[1]
    api.proxy("p", upstream.address, listen=f"127.0.0.1:{port}", enabled=False)
    refused = api.call("PATCH", "/proxies/p", {"enabled": True})
    assert refused.status == 500
    assert api.call("GET", "/proxies/p").json["enabled"] is False
    blocker.close()

    assert api.call("PATCH", "/proxies/p", {"enabled": True}).json["enabled"] is True


def test_a_deleted_proxy_closes_and_is_gone(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    client, _ = api.pair("p", upstream)
    address = _listens(api, "p")
    answer = api.call("DELETE", "/proxies/p")

    assert (answer.status, answer.body) == (204, b"")
    assert read_all(client) == b""
    assert _refused(address)
    assert api.call("DELETE", "/proxies/p").status == 404


def test_a_thousand_connections_one_after_the_other(api: Api, upstream: Upstream) -> None:
    api.proxy("p", upstream.address)
    address = _listens(api, "p")
    for number in range(1000):
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(b"%d" % number)
            node = upstream.accept()
            assert node.recv(10) == b"%d" % number
            node.close()
            assert client.recv(1) == b""
    until(upstream.none_came, "nobody else was dialled")
