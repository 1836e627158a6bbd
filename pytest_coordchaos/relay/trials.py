"""What a probe tries on a link, and what it must see. Evidence is positive.

A cut is proven by the data path's discarding exactly the probe's bytes, not by silence alone; what happens to frames,
by draws that were written down before (`frame_script`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol

from pytest_coordchaos.faults.model import DirectionState, LinkMode
from pytest_coordchaos.relay.frame_script import script_of

if TYPE_CHECKING:
    from pytest_coordchaos.relay.datagrams import DatagramLink
    from pytest_coordchaos.relay.link import Link
    from pytest_coordchaos.relay.probe import FarEnd, Probe
    from pytest_coordchaos.relay.wire import LinkSpec

__all__ = ["DEADLINE_S", "PROBE", "STOPPED", "Seen", "place_of", "try_both", "try_refused", "try_ways"]

PROBE = b"coordchaos probe".ljust(64, b".")
"""What is sent where any bytes will do."""

DEADLINE_S = 1.0
"""How long anything may take, beside the delay in force."""

STOPPED = {LinkMode.DROP: "discarded", LinkMode.HOLD: "held"}
"""Modes in which nothing arrives, and what the data path does instead."""

Seen = tuple[bool, str]
"""(as it should be, what was seen)."""

_SLACK_MS = 50.0  # a delay of d is proven by an arrival in [d, d + slack)
_TRIES = 3  # a late arrival may be the machine's fault: the best of so many counts


def place_of(link: Link | DatagramLink) -> tuple[str, int]:
    """Where the link can be dialled, also where it listens on every address."""
    host, port = link.address
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


async def try_refused(link: Link, near: socket.socket) -> Seen:
    """A connection must not be accepted."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            await link.loop.sock_connect(near, place_of(link))
            if not link.listening.shared:
                return False, "a connection was accepted"
            answer = await link.loop.sock_recv(near, 1)
    except ConnectionRefusedError:
        return True, "a connection was refused"
    except ConnectionResetError:
        return link.listening.shared, "a connection was reset at once"
    except (OSError, TimeoutError) as error:
        return False, f"a connection was not refused but failed: {str(error) or 'no answer'}"
    return False, "a connection was accepted" + ("" if answer else ", and ended")


async def try_both(link: Link, far_end: FarEnd, probe: Probe, near: socket.socket) -> list[Seen]:
    """A connection must do in both directions what the link's states say."""
    try:
        async with far_end.turn, asyncio.timeout(DEADLINE_S):
            await link.loop.sock_connect(near, place_of(link))
            far = await asyncio.shield(probe.far)
        return await try_ways(link, probe, near, far)
    except (OSError, TimeoutError) as error:
        text = f"no probe connection could be made: {str(error) or 'no answer'}"
        return [(False, text), (False, text)]


class Proven(Protocol):
    """What of a link a trial looks at, whether it carries streams or datagrams."""

    spec: LinkSpec
    loop: asyncio.AbstractEventLoop
    up_state: DirectionState
    down_state: DirectionState


async def try_ways(link: Proven, probe: Probe, near: socket.socket, far: socket.socket) -> list[Seen]:
    """Both directions between two sockets that the link joins."""
    ways = _Way(link, probe, near, far, upstream=True), _Way(link, probe, far, near, upstream=False)
    if ways[1].state.replies_lost:  # it ends the connection
        return [await _try_direction(ways[0]), await _try_reply(ways[1])]
    return list(await asyncio.gather(*map(_try_direction, ways)))


@dataclass(slots=True)
class _Way:
    """One direction of a probe's connection, from end to end."""

    link: Proven
    probe: Probe
    sender: socket.socket
    receiver: socket.socket
    upstream: bool

    @property
    def state(self) -> DirectionState:
        """What it is told to do."""
        return self.link.up_state if self.upstream else self.link.down_state


async def _try_direction(way: _Way) -> Seen:
    if way.state.mode in STOPPED:
        return await _try_stop(way)
    best_ms, delay_ms, text = float("inf"), way.state.delay_ms, ""
    for _ in range(_TRIES):
        if way.state.frames:
            took_ms, text = await _try_frames(way)
        else:
            took_ms, came = await _exchange(way, (PROBE,), len(PROBE))
            text = f"{len(PROBE)} bytes arrived" if len(came) == len(PROBE) else ""
        best_ms = min(best_ms, took_ms)
        if took_ms < delay_ms + _SLACK_MS:
            break
    if best_ms == float("inf"):
        return False, text or f"nothing arrived within {delay_ms + DEADLINE_S * 1e3:.0f} ms"
    return delay_ms <= best_ms < delay_ms + _SLACK_MS, f"{text} after {best_ms:.2f} ms"


async def _try_frames(way: _Way) -> tuple[float, str]:
    """Milliseconds until every frame had fared as its draws say, infinite when not so; and what was seen."""
    spec = way.link.spec
    script = script_of(spec.protocol, spec.classes, way.state.frames)
    way.probe.scripts[way.upstream] = script.next_draws()
    took_ms, came = await _exchange(way, script.frames, script.arriving_bytes)
    wrong = script.wrong(came)
    return (float("inf") if wrong else took_ms), f"{script.words}: {wrong or 'every frame fared as drawn'}"


async def _try_stop(way: _Way) -> Seen:
    await way.link.loop.sock_sendall(way.sender, PROBE)
    stopped, how = await way.probe.wait_stopped(way.upstream, way.state.mode), STOPPED[way.state.mode]
    try:
        arrived: int | None = len(way.receiver.recv(len(PROBE)))
    except BlockingIOError:
        arrived = None
    if arrived is not None:
        return False, f"{arrived} bytes arrived" if arrived else "the end of the stream arrived"
    if stopped != len(PROBE):
        return False, f"{stopped} of {len(PROBE)} bytes were {how} within {DEADLINE_S * 1e3:.0f} ms"
    return True, f"{stopped} bytes were {how}, none arrived"


async def _try_reply(way: _Way) -> Seen:
    """A reply is begun: the connection must be reset, and nothing of the reply arrive."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            await way.link.loop.sock_sendall(way.sender, PROBE)
            came = await way.link.loop.sock_recv(way.receiver, len(PROBE))
    except ConnectionResetError:
        return True, "the connection was reset when a reply began"
    except (OSError, TimeoutError) as error:
        return False, f"the connection was not reset when a reply began: {str(error) or 'nothing came'}"
    return False, f"{len(came)} bytes of a reply arrived" if came else "the end of the stream arrived"


async def _exchange(way: _Way, sent: Sequence[bytes], size: int) -> tuple[float, bytes]:
    """Milliseconds until so many bytes had arrived, infinite when they did not; and what arrived."""
    loop, came, started = way.link.loop, bytearray(), monotonic_ns()
    try:
        async with asyncio.timeout(DEADLINE_S + way.state.delay_ms / 1e3):
            for piece in sent:
                await loop.sock_sendall(way.sender, piece)
            while len(came) < size:
                data = await loop.sock_recv(way.receiver, size - len(came))
                if not data:
                    return float("inf"), bytes(came)
                came += data
    except (OSError, TimeoutError):
        return float("inf"), bytes(came)
    return (monotonic_ns() - started) / 1e6, bytes(came)
