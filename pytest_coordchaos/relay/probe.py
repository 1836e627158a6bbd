"""Proof that a link does what it was told: real bytes through its own accept path and data path.

A probe's connection is known by the local address it comes from, registered before it connects.
It is treated like any other but for two things: it is in no ledger, and what is dialled for it is
the relay's own far end, never a node.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.trials import DEADLINE_S, PROBE, STOPPED, Seen, place_of, try_both, try_refused
from pytest_coordchaos.relay.wire import ProbeResult

if TYPE_CHECKING:
    from pytest_coordchaos.relay.connection import Connection
    from pytest_coordchaos.relay.datagrams import DatagramLink
    from pytest_coordchaos.relay.link import Link

__all__ = ["Asked", "FarEnd", "Probe", "probe_link", "results_of"]

_SPARED = (1.0,) * 5
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a link was told, and which change of its state that was."""

    up: DirectionState
    down: DirectionState
    version: int


class FarEnd:
    """Where probes' connections lead instead of to a node: a listener of the relay's own.

    Attributes:
        turn: So many probes connect at once: hundreds together would make each other late.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._expected: dict[tuple[str, int], asyncio.Future[socket.socket]] = {}
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def connect(self, accepted: asyncio.Future[socket.socket]) -> socket.socket:
        """A socket connected to the far end; `accepted` becomes the other side of it."""
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            self._expected[sock.getsockname()] = accepted
            await self._loop.sock_connect(sock, self._listener.getsockname())
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            accepted = self._expected.pop(address, None)
            if accepted is None or accepted.done():
                sock.close()
                continue
            sock.setblocking(False)
            accepted.set_result(sock)


class Probe:
    """One connection through a link, both ends in our hands.

    Attributes:
        connection: The relay's connection, once it was accepted.
        far: The socket at the node's place, once it is connected.
        scripts: What frames meet that come next, by direction (upstream or not).
    """

    def __init__(self, far_end: FarEnd) -> None:
        loop = asyncio.get_running_loop()
        self.connection: Connection | None = None
        self.far: asyncio.Future[socket.socket] = loop.create_future()
        self.scripts: dict[bool, Callable[[], Sequence[float]]] = {}
        self._far_end = far_end
        ways = [(upstream, mode) for upstream in (True, False) for mode in STOPPED]
        self._stopped = dict.fromkeys(ways, 0)
        self._enough: dict[tuple[bool, LinkMode], asyncio.Future[None]] = {way: loop.create_future() for way in ways}

    async def far_socket(self) -> socket.socket:
        """What the connection dials."""
        return await self._far_end.connect(self.far)

    def draws(self, upstream: bool) -> Sequence[float]:
        """What a frame of the probe's meets."""
        script = self.scripts.get(upstream)
        return script() if script is not None else _SPARED

    def discarded(self, upstream: bool, size: int) -> None:
        """The data path threw away so many bytes of the probe's."""
        self._stop(upstream, LinkMode.DROP, size)

    def held(self, upstream: bool, size: int) -> None:
        """The data path keeps so many bytes of the probe's."""
        self._stop(upstream, LinkMode.HOLD, size)

    async def wait_stopped(self, upstream: bool, mode: LinkMode) -> int:
        """Wait until a whole probe was thrown away, or is held, or the deadline; returns how many bytes were."""
        await asyncio.wait([self._enough[upstream, mode]], timeout=DEADLINE_S)
        return self._stopped[upstream, mode]

    def _stop(self, upstream: bool, mode: LinkMode, size: int) -> None:
        self._stopped[upstream, mode] += size
        enough = self._enough[upstream, mode]
        if self._stopped[upstream, mode] >= len(PROBE) and not enough.done():
            enough.set_result(None)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.connection is not None:
            self.connection.reset_both()
        if self.far.done() and not self.far.cancelled():
            self.far.result().close()
        self.far.cancel()


async def probe_link(link: Link, far_end: FarEnd, asked: Asked) -> list[ProbeResult]:
    """Probe both directions of a link for the states asked for; never raises, never waits for a node."""
    started = monotonic_ns()
    try:
        near = await _near_socket(link)
    except OSError as error:  # the door it stands behind is gone
        seen = [(False, f"no probe could be made: {error}")] * 2
    else:
        seen = await _try(link, far_end, near)
    return results_of(link, asked, seen, started)


def results_of(link: Link | DatagramLink, asked: Asked, seen: list[Seen], started_ns: int) -> list[ProbeResult]:
    """What was seen of both directions, as records."""
    took_ms = (monotonic_ns() - started_ns) / 1e6
    if link.version != asked.version:
        seen = [(False, f"{text} (the state was changed again meanwhile)") for _, text in seen]
    states = {"upstream": asked.up, "downstream": asked.down}
    return [
        ProbeResult(link=link.spec.link, direction=name, expected=state, ok=ok, observed=text, took_ms=took_ms)
        for (name, state), (ok, text) in zip(states.items(), seen, strict=True)
    ]


async def _try(link: Link, far_end: FarEnd, near: socket.socket) -> list[Seen]:
    probe = Probe(far_end)
    link.expect(probe, near.getsockname()[:2])
    try:
        return [await try_refused(link, near)] * 2 if link.refusing else await try_both(link, far_end, probe, near)
    finally:
        link.probe_from(near.getsockname()[:2])
        probe.close()
        near.close()


async def _near_socket(link: Link) -> socket.socket:
    """A socket at a dialler's place: of the namespace in which the link listens."""
    host = place_of(link)[0]
    sock = await link.doors.fresh(link.spec.listen_door, socket.AF_INET6 if ":" in host else socket.AF_INET)
    if not link.spec.listen_door:
        host = "::1" if ":" in host else "127.0.0.1"
    sock.bind((host, 0))
    return sock
