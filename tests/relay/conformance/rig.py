"""What the conformance suite shares: the two servers, a client of the API, and an upstream both of whose ends are in hand."""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pytest_coordchaos.relay.ports import PortChooser
from tests.real_toxiproxy import require_toxiproxy

__all__ = ["SERVERS", "Answer", "Api", "Upstream", "free_port", "read_all", "read_exactly", "running", "until"]

SERVERS = ("relay", "toxiproxy")
DEADLINE_S = 20.0
_PORTS = PortChooser(str(time.time_ns()))


@dataclass(frozen=True)
class Answer:
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of the error object."""
        assert self.json["status"] == self.status
        return str(self.json["error"])


@dataclass
class Api:
    """A server under test.

    Attributes:
        kind: Which of the two it is.
        pid: Its process.
    """

    kind: str
    address: tuple[str, int]
    pid: int
    made: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, body: object = None, *, timeout_s: float = DEADLINE_S, **headers: str) -> Answer:
        """One request on a connection of its own. A body that is text goes as it is."""
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        connection = http.client.HTTPConnection(*self.address, timeout=timeout_s)
        try:
            connection.request(method, path, body=text, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())
        finally:
            connection.close()

    def proxy(self, name: str, upstream: tuple[str, int], **more: object) -> Answer:
        """Make a proxy; it goes when the test is over."""
        self.made.append(name)
        body = {"name": name, "listen": "127.0.0.1:0", "upstream": f"{upstream[0]}:{upstream[1]}", **more}
        answer = self.call("POST", "/proxies", body)
        assert answer.status == 201, answer
        return answer

    def toxic(
        self, proxy: str, kind: str, *, stream: str = "downstream", toxicity: float = 1, name: str = "", **values: int
    ) -> str:
        """Add a toxic; returns its name."""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "name": name, "attributes": values}
        answer = self.call("POST", f"/proxies/{proxy}/toxics", body)
        assert answer.status == 200, answer
        return str(answer.json["name"])

    def dial(self, proxy: str) -> socket.socket:
        """A client's connection to a proxy."""
        host, _, port = self.call("GET", f"/proxies/{proxy}").json["listen"].rpartition(":")
        sock = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def pair(self, proxy: str, upstream: Upstream) -> tuple[socket.socket, socket.socket]:
        """A client's connection and the upstream's end of it."""
        client = self.dial(proxy)
        upstream.opened.append(client)
        return client, upstream.accept()


class Upstream:
    """A listener that hands over what it accepts."""

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = self.listener.getsockname()
        self._accepted: queue.Queue[socket.socket] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def accept(self) -> socket.socket:
        """The next connection."""
        return self._accepted.get(timeout=DEADLINE_S)

    def none_came(self) -> bool:
        """Nobody dialled that was not accepted yet."""
        return self._accepted.empty()

    def close(self) -> None:
        """End it and all connections."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()
        while not self._accepted.empty():
            self._accepted.get().close()
        for sock in self.opened:
            sock.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(DEADLINE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.opened.append(sock)
            self._accepted.put(sock)


@contextmanager
def running(kind: str, *flags: str) -> Iterator[Api]:
    """One of the two servers on a free port; ended with the block."""
    relay = [sys.executable, "-m", "pytest_coordchaos.cli", "relay"]
    argv = [*relay] if kind == "relay" else [require_toxiproxy()]
    address = ("127.0.0.1", free_port())
    process = subprocess.Popen(
        [*argv, "-host", address[0], "-port", str(address[1]), *flags],
        env={**os.environ, "LOG_LEVEL": "error"},
        stdout=subprocess.DEVNULL,
    )
    api = Api(kind, address, process.pid)
    try:
        until(lambda: process.poll() is None and _answers(api), "the server answers")
        yield api
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port nobody listens on now, and no outgoing connection can be given."""
    held = _PORTS.hold("127.0.0.1")
    held.close()
    return held.address[1]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; the test fails by name when it does not come true."""
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, f"never came true: {what}"
        time.sleep(0.005)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes; fewer when the stream ended."""
    data = bytearray()
    while len(data) < size and (part := sock.recv(min(65536, size - len(data)))):
        data += part
    return bytes(data)


def read_all(sock: socket.socket) -> bytes:
    """Everything to the end of the stream. ConnectionResetError: it was reset."""
    data = bytearray()
    while part := sock.recv(65536):
        data += part
    return bytes(data)


def _answers(api: Api) -> bool:
    try:
        return api.call("GET", "/version").status == 200
    except OSError:
        return False
