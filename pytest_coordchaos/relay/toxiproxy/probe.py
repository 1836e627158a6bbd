"""Proof that toxics do what they are for, on the very server: through a proxy that lives for one probe.

Its upstream is an end of our own, so that no node's port is touched. 64 bytes must pass each way
before the toxics are added to the open connection, as they are to the nodes' connections. A cut is
proven by bytes that Toxiproxy took and that had not come out when it closed the connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic_ns
from typing import Any

from pytest_coordchaos.relay.toxiproxy.errors import ToxiproxyError
from pytest_coordchaos.relay.toxiproxy.model import Proxy, Toxic
from pytest_coordchaos.relay.toxiproxy.server import ToxiproxyServer

__all__ = ["Call", "Seen", "try_toxics"]

Call = Callable[..., Awaitable[Any]]
"""Calls a blocking function in a worker thread."""

Seen = tuple[bool, str]
"""Whether it was proven, and what was seen."""

_BYTES = b"coordchaos probe".ljust(64, b".")
_DEADLINE_S = 1.0
_SLACK_MS = 50.0  # as the relay's probes: a delay of d is proven by an arrival in [d, d + slack)
_TRIES = 3
_STREAMS = ("upstream", "downstream")


async def try_toxics(server: ToxiproxyServer, call: Call, toxics: Sequence[Toxic]) -> tuple[Seen, Seen]:
    """What the toxics do to each direction (upstream, downstream); never raises, leaves nothing behind."""
    name = server.name("probe", str(monotonic_ns()))
    with socket.create_server(("127.0.0.1", 0)) as far_end:
        far_end.setblocking(False)
        upstream = "{}:{}".format(*far_end.getsockname())
        try:
            made: Proxy = await call(server.client.create, Proxy(name=name, upstream=upstream))
        except ToxiproxyError as error:
            return _both(f"no probe could be made: {error}")
        try:
            return await _through(server, call, made, far_end, toxics)
        except (OSError, TimeoutError, ToxiproxyError) as error:
            return _both(f"the probe failed: {str(error) or 'no answer'}")
        finally:
            with suppress(ToxiproxyError):
                await call(server.client.delete, name)


async def _through(
    server: ToxiproxyServer, call: Call, proxy: Proxy, far_end: socket.socket, toxics: Sequence[Toxic]
) -> tuple[Seen, Seen]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in proxy.address[0] else socket.AF_INET) as near:
        near.setblocking(False)
        async with asyncio.timeout(_DEADLINE_S):
            await loop.sock_connect(near, proxy.address)
            far, _ = await loop.sock_accept(far_end)
        with far:
            far.setblocking(False)
            for sender, receiver in ((near, far), (far, near)):
                if await _pass_ms(sender, receiver, 0.0) == float("inf"):
                    return _both("nothing passed before the toxics were added")
            for toxic in toxics:
                await call(server.client.add_toxic, proxy.name, toxic)
            up, down = await asyncio.gather(_try_pass(toxics, "upstream", near, far), _try_pass(toxics, "downstream", far, near))
            await call(server.client.delete, proxy.name)
            received = await _received(server, call, proxy.name) if server.metrics else {}
            up = up or await _after_cut(far, received.get("upstream"))
            return up, down or await _after_cut(near, received.get("downstream"))


async def _try_pass(toxics: Sequence[Toxic], stream: str, sender: socket.socket, receiver: socket.socket) -> Seen | None:
    """What came through; None for a direction that is cut: its bytes were taken, and what comes is seen at the end."""
    mine = [toxic for toxic in toxics if toxic.stream == stream]
    if any(toxic.type == "timeout" for toxic in mine):
        await asyncio.get_running_loop().sock_sendall(sender, _BYTES)
        await _taken(sender)
        return None
    delay_ms = float(sum(toxic.attributes.get("latency", 0) for toxic in mine))
    best_ms = float("inf")
    for _ in range(_TRIES):
        best_ms = min(best_ms, await _pass_ms(sender, receiver, delay_ms))
        if best_ms < delay_ms + _SLACK_MS:
            break
    if best_ms == float("inf"):
        return False, f"nothing arrived within {delay_ms + _DEADLINE_S * 1e3:.0f} ms"
    return delay_ms <= best_ms < delay_ms + _SLACK_MS, f"{len(_BYTES)} bytes arrived after {best_ms:.2f} ms"


async def _after_cut(receiver: socket.socket, received: int | None) -> Seen:
    """The connection has been closed: nothing can come out any more."""
    arrived = 0
    with suppress(ConnectionResetError):
        async with asyncio.timeout(_DEADLINE_S):
            while data := await asyncio.get_running_loop().sock_recv(receiver, 1024):
                arrived += len(data)
    if arrived:
        return False, f"{arrived} bytes arrived"
    if received is not None and received != 2 * len(_BYTES):
        return False, f"Toxiproxy received {received - len(_BYTES)} of {len(_BYTES)} bytes"
    return True, f"{len(_BYTES)} bytes were {'received' if received else 'taken'}, none arrived"


async def _taken(sender: socket.socket) -> None:
    """Wait until the other side's kernel has everything. TimeoutError: it has not."""
    async with asyncio.timeout(_DEADLINE_S):
        while _unsent(sender):  # noqa: ASYNC110  # the kernel's queue tells nobody that it is empty
            await asyncio.sleep(0.001)


def _unsent(sender: socket.socket) -> int:
    size: int = struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0]
    return size


async def _pass_ms(sender: socket.socket, receiver: socket.socket, delay_ms: float) -> float:
    """Milliseconds until a probe arrived whole; infinite when it did not."""
    loop = asyncio.get_running_loop()
    started, missing = monotonic_ns(), len(_BYTES)
    try:
        async with asyncio.timeout(_DEADLINE_S + delay_ms / 1e3):
            await loop.sock_sendall(sender, _BYTES)
            while missing:
                data = await loop.sock_recv(receiver, missing)
                if not data:
                    return float("inf")
                missing -= len(data)
    except (OSError, TimeoutError):
        return float("inf")
    return (monotonic_ns() - started) / 1e6


async def _received(server: ToxiproxyServer, call: Call, name: str) -> dict[str, int]:
    """Bytes Toxiproxy received, by direction: it counts them when a connection has ended, a moment after."""
    deadline = monotonic_ns() + int(_DEADLINE_S * 1e9)
    while True:
        found = _received_in(await call(server.client.metrics), name)
        if len(found) == len(_STREAMS) or monotonic_ns() > deadline:
            return {stream: found.get(stream, 0) for stream in _STREAMS}
        await asyncio.sleep(0.005)


def _received_in(text: str, name: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        if line.startswith("toxiproxy_proxy_received_bytes_total{") and f'proxy="{name}"' in line:
            direction = re.search(r'direction="(\w+)"', line)
            if direction:
                found[direction[1]] = int(float(line.rpartition(" ")[2]))
    return found


def _both(text: str) -> tuple[Seen, Seen]:
    return (False, text), (False, text)
