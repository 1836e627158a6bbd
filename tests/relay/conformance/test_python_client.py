"""The unmodified toxiproxy-python drives both servers."""

from __future__ import annotations

import socket
import time

import pytest
from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from tests.relay.conformance.rig import Api, Upstream, free_port, read_all, read_exactly


@pytest.fixture
def client(api: Api) -> Toxiproxy:
    """Its server's address is global to the process: set anew for each test."""
    client = Toxiproxy()
    client.update_api_consumer(*api.address)
    return client


def test_it_knows_the_server(client: Toxiproxy) -> None:
    assert client.running()
    assert b"2.12.0" in client.version()


def test_it_makes_finds_and_destroys_proxies(api: Api, client: Toxiproxy, upstream: Upstream) -> None:
    made = client.create(name="p", upstream=f"127.0.0.1:{upstream.address[1]}")
    assert client.get_proxy("p").listen == made.listen
    assert list(client.proxies()) == ["p"]
    with pytest.raises(ProxyExists):
        client.create(name="p", upstream="127.0.0.1:1")
    assert client.destroy(made)

    assert client.get_proxy("p") is None


def test_it_adds_and_removes_toxics_that_act(api: Api, client: Toxiproxy, upstream: Upstream) -> None:
    proxy = client.create(name="p", upstream=f"127.0.0.1:{upstream.address[1]}")
    api.made.append("p")
    near, far = api.pair("p", upstream)
    proxy.add_toxic(type="latency", attributes={"latency": 300, "jitter": 0})
    started = time.monotonic()
    far.sendall(b"x")
    assert read_exactly(near, 1) == b"x"
    assert time.monotonic() - started >= 0.3
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 300, "jitter": 0}
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="nonsense")
    proxy.destroy_toxic("latency_downstream")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("latency_downstream")

    assert proxy.toxics() == {}


def test_it_takes_a_proxy_down_and_up_again(api: Api, client: Toxiproxy, upstream: Upstream) -> None:
    proxy = client.create(name="p", upstream=f"127.0.0.1:{upstream.address[1]}")
    api.made.append("p")
    near, _ = api.pair("p", upstream)
    host, port = proxy.listen.split(":")
    with proxy.down():
        assert read_all(near) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)
    near, far = api.pair("p", upstream)
    near.sendall(b"x")

    assert read_exactly(far, 1) == b"x"


def test_it_populates_and_resets(api: Api, client: Toxiproxy, upstream: Upstream) -> None:
    wanted = [{"name": name, "upstream": "127.0.0.1:1", "listen": f"127.0.0.1:{free_port()}"} for name in ("a", "b")]
    api.made += ["a", "b"]
    made = client.populate(wanted)
    made[0].add_toxic(type="noop")
    made[1].disable()
    client.reset()
    proxies = client.proxies()

    assert {name: (proxy.enabled, proxy.toxics()) for name, proxy in proxies.items()} == {
        "a": (True, {}),
        "b": (True, {}),
    }
