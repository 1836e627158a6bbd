"""Proof that a link of datagrams does what it was told: the trials of any link, with datagrams in both our hands."""

from __future__ import annotations

import socket
from time import monotonic_ns

from pytest_coordchaos.relay.datagrams import DatagramLink
from pytest_coordchaos.relay.probe import Asked, FarEnd, Probe, results_of
from pytest_coordchaos.relay.trials import Seen, place_of, try_ways
from pytest_coordchaos.relay.wire import ProbeResult

__all__ = ["probe_datagrams"]


async def probe_datagrams(link: DatagramLink, far_end: FarEnd, asked: Asked) -> list[ProbeResult]:
    """Probe both directions for the states asked for; never raises, never sends anything to a node."""
    started = monotonic_ns()
    try:
        async with far_end.turn:
            seen = await _try(link, Probe(far_end))
    except OSError as error:
        seen = [(False, f"no probe could be made: {error}")] * 2
    return results_of(link, asked, seen, started)


async def _try(link: DatagramLink, probe: Probe) -> list[Seen]:
    near = await _near_socket(link)
    address = near.getsockname()[:2]
    node, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    try:
        for sock in (node, far):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        node.connect(far.getsockname())
        far.connect(node.getsockname())
        link.listening.expect(address, link)
        link.admit(address, node, probe)
        near.connect(place_of(link))
        return await try_ways(link, probe, near, far)
    finally:
        link.listening.forget(address)
        link.forget(address)
        for sock in (near, node, far):
            sock.close()
        probe.close()


async def _near_socket(link: DatagramLink) -> socket.socket:
    """A socket at a dialler's place: of the namespace in which the link listens."""
    host = place_of(link)[0]
    sock = await link.doors.fresh(link.spec.listen_door, socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    if not link.spec.listen_door:
        host = "::1" if ":" in host else "127.0.0.1"
    sock.bind((host, 0))
    return sock
