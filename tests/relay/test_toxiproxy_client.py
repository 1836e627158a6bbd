"""The adapter over toxiproxy-python: every mending of that client, against real servers."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import requires

import pytest

from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from pytest_coordchaos.relay.toxiproxy.errors import (
    AlreadyExists,
    NoAnswer,
    NotAllowed,
    NotFound,
    ServerFailed,
    ToxiproxyError,
    Unreachable,
)
from pytest_coordchaos.relay.toxiproxy.model import Proxy, Toxic, host_port, safe_name
from tests.real_toxiproxy import RealToxiproxy, our_relay, real_toxiproxy

pytestmark = pytest.mark.needs("toxiproxy")
SLOW = Toxic(type="latency", stream="upstream", attributes={"latency": 40, "jitter": 0})
CUT = Toxic(type="timeout", stream="upstream", attributes={"timeout": 0})


SERVERS = {"toxiproxy": real_toxiproxy, "relay": our_relay}


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Toxiproxy, and our relay in its place: the client cannot tell."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(kind: str) -> Iterator[RealToxiproxy]:
    with SERVERS[kind]() as running:
        yield running


@pytest.fixture
def client(server: RealToxiproxy) -> Iterator[ToxiproxyClient]:
    client = server.client()
    yield client
    for name in client.proxies():
        client.delete(name)


@contextmanager
def echo() -> Iterator[str]:
    """A server that sends back what it gets; gives its address."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_echo_one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield joined(listener)
        listener.shutdown(socket.SHUT_RDWR)


def joined(listener: socket.socket) -> str:
    """host:port of a listener."""
    host, port = listener.getsockname()
    return f"{host}:{port}"


def _echo_one(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def says(proxy: Proxy, text: bytes = b"hello") -> bytes:
    """What comes back through a proxy."""
    with socket.create_connection(proxy.address, timeout=10) as connection:
        connection.sendall(text)
        return connection.recv(100)


# -- (1) an address for each client --------------------------------------------------------------


def test_two_clients_of_one_process_do_not_disturb_each_other(server: RealToxiproxy, kind: str) -> None:
    with SERVERS[kind]() as other:
        clients = [server.client(), other.client()] * 2
        for number, client in enumerate(clients):
            client.create(Proxy(name=f"p{number}", upstream="127.0.0.1:1"))

        assert set(server.client().proxies()) == {"p0", "p2"}
        assert set(other.client().proxies()) == {"p1", "p3"}
        for number in (0, 2):
            server.client().delete(f"p{number}")


def test_threads_of_two_clients_do_not_disturb_each_other(server: RealToxiproxy, kind: str) -> None:
    with SERVERS[kind]() as other:

        def fill(client: ToxiproxyClient, prefix: str) -> None:
            for number in range(10):
                client.create(Proxy(name=f"{prefix}{number}", upstream="127.0.0.1:1", toxics=(SLOW,)))

        jobs = [threading.Thread(target=fill, args=(one.client(), prefix)) for one in (server, other) for prefix in "abcd"]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        expected = {f"{prefix}{number}" for prefix in "abcd" for number in range(10)}
        found = [set(one.client().proxies()) for one in (server, other)]
        for name in expected:
            server.client().delete(name)

    assert found == [expected, expected]


# -- (2) deadlines, and no proxy of the environment ------------------------------------------------


def test_a_server_that_says_nothing_costs_one_deadline(server: RealToxiproxy) -> None:
    words = r"GET /version of Toxiproxy at 127.0.0.1:\d+: no answer within 0.2 s"
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoAnswer, match=words):
        ToxiproxyClient(silent.getsockname(), deadline_s=0.2).version()


def test_a_proxy_of_the_environment_is_not_used(client: ToxiproxyClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert client.version()


# -- (3) errors by kind ----------------------------------------------------------------------------


def test_every_refusal_is_an_error_of_its_kind_with_the_servers_words(client: ToxiproxyClient) -> None:
    taken = client.create(Proxy(name="a", upstream="127.0.0.1:1"))
    with pytest.raises(AlreadyExists, match="proxy already exists") as conflict:
        client.create(Proxy(name="a", upstream="127.0.0.1:1"))
    with pytest.raises(NotFound, match="proxy not found"):
        client.get("b")
    with pytest.raises(NotAllowed, match="missing required field: upstream"):
        client.create(Proxy(name="c", upstream=""))
    with pytest.raises(ServerFailed, match="bind: address already in use") as port:
        client.create(Proxy(name="d", upstream="127.0.0.1:1", listen=taken.listen))
    with pytest.raises(NotAllowed, match="invalid toxic type"):
        client.add_toxic("a", Toxic(type="plague"))
    with pytest.raises(NotFound, match="toxic not found"):
        client.remove_toxic("a", "plague")

    assert (conflict.value.status, port.value.status) == (409, 500)


def test_an_answer_that_is_not_toxiproxys_is_an_error_too() -> None:
    with other_program() as address, pytest.raises(ToxiproxyError) as refused:
        ToxiproxyClient(address).get("a")

    assert refused.value.status == 501


@contextmanager
def other_program() -> Iterator[tuple[str, int]]:
    """A web server that knows no method."""
    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield ("127.0.0.1", web.server_port)
        web.shutdown()
        thread.join()


class Silent(http.server.BaseHTTPRequestHandler):
    """Refuses everything, in HTML, and writes nothing to the terminal."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


# -- (4) what toxiproxy-python cannot do -------------------------------------------------------------


def test_proxies_and_toxics_are_updated_in_place(client: ToxiproxyClient) -> None:
    with echo() as upstream:
        made = client.create(Proxy(name="a", upstream=upstream, toxics=(SLOW,)))
        with socket.create_connection(made.address, timeout=10) as connection:
            changed = client.update_toxic("a", Toxic(type="latency", stream="upstream", attributes={"latency": 1}))
            connection.sendall(b"still open")
            assert connection.recv(100) == b"still open"
        off = client.update("a", enabled=False)
        with pytest.raises(ConnectionRefusedError):
            says(off)
        on = client.update("a", enabled=True)

        assert dict(changed.attributes) == {"latency": 1, "jitter": 0}
        assert (off.enabled, on.enabled, on.listen) == (False, True, made.listen)
        assert says(on) == b"hello"


def test_populate_is_the_servers_and_keeps_what_is_there(client: ToxiproxyClient) -> None:
    made = client.create(Proxy(name="a", upstream="127.0.0.1:1", toxics=(SLOW,)))
    everything = client.populate([made, Proxy(name="b", upstream="127.0.0.1:2", enabled=False)])

    assert [(proxy.name, proxy.enabled) for proxy in everything] == [("a", True), ("b", False)]
    assert [toxic.full_name for toxic in client.get("a").toxics] == ["latency_upstream"]
    assert client.populate([]) == []


def test_a_wedged_proxy_is_freed_by_putting_another_in_its_place(
    client: ToxiproxyClient, server: RealToxiproxy, kind: str
) -> None:
    """The receiver reads nothing, its buffers are full: adding a toxic to Toxiproxy then hangs for good, to the relay never."""
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        made = client.create(Proxy(name="a", upstream=joined(stalled)))
        hasty = server.client(deadline_s=1.0)
        with socket.create_connection(made.address) as sender:
            fill(sender)
            with pytest.raises(NoAnswer) if kind == "toxiproxy" else nullcontext():
                hasty.add_toxic("a", SLOW)
            assert hasty.create(Proxy(name="b", upstream="127.0.0.1:1")).enabled
            again = client.recreate(Proxy(name="a", upstream=made.upstream, listen=made.listen, toxics=(SLOW,)))

    assert again.listen == made.listen
    assert [toxic.full_name for toxic in client.get("a").toxics] == ["latency_upstream"]


def fill(sender: socket.socket) -> None:
    """Send until nothing more is taken for a second."""
    sender.settimeout(1.0)
    with suppress(TimeoutError):
        while True:
            sender.sendall(bytes(1 << 20))


# -- (5) to (9) --------------------------------------------------------------------------------------


def test_what_is_made_is_returned_as_the_server_took_it(client: ToxiproxyClient) -> None:
    made = client.create(Proxy(name="a", upstream="127.0.0.1:1"))
    toxic = client.add_toxic("a", Toxic(type="latency", attributes={"latency": 5}))

    assert made.address[1] > 0
    assert toxic == Toxic(
        type="latency", stream="downstream", name="latency_downstream", attributes={"latency": 5, "jitter": 0}, toxicity=1.0
    )
    assert client.get("a").toxics == (toxic,)


def test_a_proxy_whose_toxics_are_refused_is_not_left_behind(client: ToxiproxyClient) -> None:
    with pytest.raises(NotAllowed):
        client.create(Proxy(name="a", upstream="127.0.0.1:1", toxics=(SLOW, Toxic(type="plague"))))

    assert client.proxies() == {}


def test_names_are_safe_in_urls_and_tell_everything_apart(client: ToxiproxyClient) -> None:
    parts = [("a", "b"), ("a/b",), ("a b",), ("a.b",), ("a", "b", ""), ("ä",), ("a?x#y",), ("a-b",)]
    names = [safe_name(*each) for each in parts]
    client.populate([Proxy(name=name, upstream="127.0.0.1:1") for name in names])

    assert len(set(names)) == len(parts)
    assert [client.get(name).name for name in names] == names
    assert safe_name("n1", "n2", "peer") == "n1.n2.peer"


def test_a_name_given_by_somebody_else_is_quoted(client: ToxiproxyClient) -> None:
    client.create(Proxy(name="a b?c#d", upstream="127.0.0.1:1"))

    assert client.get("a b?c#d").name == "a b?c#d"
    client.delete("a b?c#d")


@pytest.mark.parametrize("before", [True, False])
def test_down_restores_what_was_before(client: ToxiproxyClient, before: bool) -> None:
    client.create(Proxy(name="a", upstream="127.0.0.1:1", enabled=before))
    with client.down("a"):
        with client.down("a"):
            assert not client.get("a").enabled
        assert not client.get("a").enabled

    assert client.get("a").enabled is before


def test_applied_restores_what_was_before(client: ToxiproxyClient) -> None:
    client.create(Proxy(name="a", upstream="127.0.0.1:1", toxics=(SLOW,)))
    before = client.get("a").toxics
    other = Toxic(type="latency", stream="upstream", attributes={"latency": 7})
    with suppress(KeyError), client.applied("a", other, CUT):
        assert [dict(toxic.attributes) for toxic in client.get("a").toxics] == [{"latency": 7, "jitter": 0}, {"timeout": 0}]
        raise KeyError("the block fails")

    assert client.get("a").toxics == before


def test_a_start_is_waited_for_and_a_refusal_is_never_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with pytest.raises(Unreachable):
        ToxiproxyClient(address).wait_started(0.1)
    with pytest.raises(Unreachable):
        ToxiproxyClient(address).wait_started(60, gone=lambda: True)
    with counting_refusals() as (refuser, asked), pytest.raises(NotAllowed):
        ToxiproxyClient(refuser).wait_started(60)

    assert asked == ["/version"]


@contextmanager
def counting_refusals() -> Iterator[tuple[tuple[str, int], list[str]]]:
    """A web server that refuses with 403 and remembers what it was asked."""
    asked: list[str] = []

    class Refuser(Silent):
        """Browsers are not allowed."""

        def do_GET(self) -> None:
            """Refuse."""
            asked.append(self.path)
            self.send_error(403)

    with http.server.HTTPServer(("127.0.0.1", 0), Refuser) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield ("127.0.0.1", web.server_port), asked
        web.shutdown()
        thread.join()


def test_future_is_pinned_for_toxiproxy_python() -> None:
    """toxiproxy-python asks for any `future`; those before 1.0 do not work on Python 3.12."""
    assert any(line.startswith("future>=1.0") for line in requires("pytest-coordchaos") or ())


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", ":70000", "²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        host_port(text)


def test_addresses_are_taken_apart() -> None:
    assert [host_port(text) for text in ("127.0.0.1:80", "[::1]:80", ":80")] == [
        ("127.0.0.1", 80),
        ("::1", 80),
        ("127.0.0.1", 80),
    ]
