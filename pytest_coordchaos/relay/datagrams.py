"""A link of datagrams: no connections, so each dialler is known by its address, as by a NAT.

States mean what they mean for bytes, with three differences: to refuse is to be silent, a lost reply needs no reset,
and what a full queue does not take is lost, because nobody can be held back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic_ns

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.datagram_flow import DatagramFlow
from pytest_coordchaos.relay.frame_formats import DatagramFormat, format_of
from pytest_coordchaos.relay.frame_stage import draws_of
from pytest_coordchaos.relay.probe import Asked, Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.wire import LinkSpec

__all__ = ["DatagramLink"]

_LARGEST = 65_535
_AT_ONCE = 64  # datagrams read in one turn of the loop
_IDLE_NS = 60_000_000_000
_SWEEP_S = 15.0
_MAX_DIALLERS = 1024


class _Dialler:
    """One address that sends to the link, and the socket by which the node knows it."""

    __slots__ = ("down", "last_ns", "sock", "up")

    def __init__(self, sock: socket.socket, up: DatagramFlow, down: DatagramFlow) -> None:
        self.sock = sock
        self.up = up
        self.down = down
        self.last_ns = monotonic_ns()

    @property
    def idle(self) -> bool:
        """Nothing came for long, and nothing is kept for anybody."""
        return monotonic_ns() - self.last_ns > _IDLE_NS and not (self.up.keeps or self.down.keeps)


class DatagramLink:
    """A directed edge in force, for datagrams.

    Args:
        spec: What it joins.
        sock: A bound socket: where it listens.
        store: Where its messages are kept.
        ways: Numbers of its upstream and downstream way.
        seed: Seed of the fates of its datagrams.

    Attributes:
        up_state, down_state: The states in force.
        version: Grows with every change of state.
        dials: Connections begun: none, ever.
    """

    def __init__(self, spec: LinkSpec, sock: socket.socket, store: Store, ways: tuple[int, int], *, seed: str) -> None:
        self.spec = spec
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.up_tally, self.down_tally = Tally(ways[0]), Tally(ways[1])
        self.up_state = self.down_state = PASS
        self.version = self.dials = 0
        self.form = DatagramFormat(format_of(spec.protocol, spec.classes))
        self._draws = [draws_of(f"{seed}:{spec.link}:{way}") for way in ("down", "up")]
        self._sock = sock
        sock.setblocking(False)
        self._diallers: dict[tuple[str, int], _Dialler] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        name: tuple[str, int] = self._sock.getsockname()[:2]
        return name

    @property
    def takes_frames(self) -> bool:
        """Datagrams are independent of each other."""
        return True

    @property
    def open_connections(self) -> int:
        """Diallers known now."""
        return len(self._diallers)

    async def open(self) -> None:
        """Listen."""
        self.loop.add_reader(self._sock.fileno(), self._from_diallers)
        self._sweep()

    async def set_states(self, up: DirectionState, down: DirectionState) -> Asked:
        """Put states in force, also for what is kept."""
        self.version += 1
        self.up_state, self.down_state = _silent(up), _silent(down)
        for dialler in self._diallers.values():
            dialler.up.set_state(self.up_state)
            dialler.down.set_state(self.down_state)
        return Asked(up=up, down=down, version=self.version)

    def reset_node_ends(self) -> int:
        """Nothing: nobody is connected."""
        return 0

    def close(self) -> bool:
        """End it. Nobody else listens there, so nothing is left to give back."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for address in list(self._diallers):
            self.forget(address)
        self.loop.remove_reader(self._sock.fileno())
        self._sock.close()
        return False

    def admit(self, address: tuple[str, int], target: tuple[str, int], probe: Probe | None = None) -> socket.socket:
        """Know a dialler from now on, and send what it sends to `target`; returns the socket at the node's side.

        Raises:
            OSError: No socket could be made.
        """
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((self.spec.upstream_source if probe is None else target[0], 0))
            sock.connect(target)
        except OSError:
            sock.close()
            raise
        up = self._flow(upstream=True, send=sock.send, probe=probe)
        down = self._flow(upstream=False, send=partial(_send_to, self._sock, address), probe=probe)
        self._diallers[address] = dialler = _Dialler(sock, up, down)
        self.loop.add_reader(sock.fileno(), self._from_node, dialler)
        return sock

    def forget(self, address: tuple[str, int]) -> None:
        """Know a dialler no longer; what was kept for it is lost."""
        dialler = self._diallers.pop(address, None)
        if dialler is not None:
            dialler.up.close()
            dialler.down.close()
            self.loop.remove_reader(dialler.sock.fileno())
            dialler.sock.close()

    # -- inside ------------------------------------------------------------------------------------

    def _flow(self, *, upstream: bool, send: Callable[[bytes], object], probe: Probe | None) -> DatagramFlow:
        tally = self.up_tally if upstream else self.down_tally
        flow = DatagramFlow(
            self.loop,
            form=self.form,
            framing=(self.spec.protocol, self.spec.classes),
            draw=self._draws[upstream] if probe is None else partial(probe.draws, upstream),
            store=None if probe is not None else self.store,
            tally=tally if probe is None else Tally(-1),
            send=send,
            stopped=None if probe is None else partial(_tell, probe, upstream),
        )
        flow.set_state(self.up_state if upstream else self.down_state)
        return flow

    def _from_diallers(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, name = self._sock.recvfrom(_LARGEST)
            except OSError:  # nothing more; or a receiver of ours is gone, which is no matter here
                return
            address = (name[0], name[1])
            try:
                if address not in self._diallers:
                    self._make_room()
                    self.admit(address, self.spec.upstream)
            except OSError:
                continue  # out of sockets: a network loses datagrams for less
            dialler = self._diallers[address]
            dialler.last_ns = now = monotonic_ns()
            dialler.up.offer(data, now)

    def _from_node(self, dialler: _Dialler) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = dialler.sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # nobody listens at the node: the datagram is lost, as on any network
                return
            dialler.last_ns = now = monotonic_ns()
            dialler.down.offer(data, now)

    def _make_room(self) -> None:
        if len(self._diallers) >= _MAX_DIALLERS:
            self.forget(min(self._diallers, key=lambda address: self._diallers[address].last_ns))

    def _sweep(self) -> None:
        for address in [address for address, dialler in self._diallers.items() if dialler.idle]:
            self.forget(address)
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)


def _silent(state: DirectionState) -> DirectionState:
    """What a state means where nothing can be refused or reset."""
    gone = state.mode is LinkMode.REFUSE or state.replies_lost
    return replace(state, mode=LinkMode.DROP, frames=(), replies_lost=False) if gone else state


def _send_to(sock: socket.socket, address: tuple[str, int], data: bytes) -> None:
    sock.sendto(data, address)


def _tell(probe: Probe, upstream: bool, mode: LinkMode, size: int) -> None:
    (probe.held if mode is LinkMode.HOLD else probe.discarded)(upstream, size)
