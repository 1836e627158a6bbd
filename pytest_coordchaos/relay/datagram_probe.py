"""Proof that a link of datagrams does what it was told: the trials of any link, with datagrams in both our hands."""

from __future__ import annotations

import socket
from time import monotonic_ns

from pytest_coordchaos.relay.datagrams import DatagramLink
from pytest_coordchaos.relay.probe import Asked, FarEnd, Probe, results_of
from pytest_coordchaos.relay.trials import Seen, try_ways
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
    family, host = (socket.AF_INET6, "::1") if ":" in link.address[0] else (socket.AF_INET, "127.0.0.1")
    near, far = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    try:
        for sock in (near, far):
            sock.setblocking(False)
            sock.bind((host, 0))
        near.connect(link.address)
        far.connect(link.admit(near.getsockname()[:2], far.getsockname()[:2], probe).getsockname()[:2])
        return await try_ways(link, probe, near, far)
    finally:
        link.forget(near.getsockname()[:2])
        near.close()
        far.close()
        probe.close()
