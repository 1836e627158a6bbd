"""A link of datagrams: no connections, so each dialler is known by its address, as by a NAT.

States mean what they mean for bytes, with three differences: to refuse is to be silent, a lost reply needs no reset,
and what a full queue does not take is lost, because nobody can be held back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic_ns

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.datagram_flow import DatagramFlow
from pytest_coordchaos.relay.datagram_listening import AT_ONCE, LARGEST, DatagramListening
from pytest_coordchaos.relay.frame_formats import DatagramFormat, format_of
from pytest_coordchaos.relay.frame_stage import draws_of
from pytest_coordchaos.relay.probe import Asked, Probe
from pytest_coordchaos.relay.store import Store, Tally
from pytest_coordchaos.relay.wire import Address, LinkSpec
from pytest_coordchaos.runtimes.doors import Doors

__all__ = ["DatagramLink", "send_anyway"]

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


@dataclass(slots=True)
class _Newcomer:
    """What an address sent before there was a socket by which the node can know it; and when."""

    datagrams: list[tuple[int, bytes]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class DatagramLink:
    """A directed edge in force, for datagrams.

    Args:
        spec: What it joins.
        listening: Where its diallers send to; others' may send there too.
        doors: Where sockets of other network namespaces come from.
        store: Where its messages are kept.
        ways: Numbers of its upstream and downstream way.
        seed: Seed of the fates of its datagrams.

    Attributes:
        up_state, down_state: The states in force.
        version: Grows with every change of state.
        dials: Connections begun: none, ever.
        node_has_ended: Whether the node is known to be dead where its network would keep datagrams for its return.
    """

    def __init__(
        self,
        spec: LinkSpec,
        listening: DatagramListening,
        doors: Doors,
        store: Store,
        ways: tuple[int, int],
        *,
        seed: str,
    ) -> None:
        self.spec = spec
        self.listening = listening
        self.doors = doors
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.up_tally, self.down_tally = Tally(ways[0]), Tally(ways[1])
        self.up_state = self.down_state = PASS
        self.version = self.dials = 0
        self.form = DatagramFormat(format_of(spec.protocol, spec.classes))
        self.node_has_ended: Callable[[], bool] = lambda: False
        self._draws = [draws_of(f"{seed}:{spec.link}:{way}") for way in ("down", "up")]
        self._diallers: dict[Address, _Dialler] = {}
        self._newcomers: dict[Address, _Newcomer] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        listening.links.append(self)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.listening.address

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
        self.listening.open()
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
        """End it; True when nobody listens there any more and the port was given back."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for newcomer in self._newcomers.values():
            if newcomer.task is not None:
                newcomer.task.cancel()
        for address in list(self._diallers):
            self.forget(address)
        return self.listening.leave(self)

    def take(self, address: Address, data: bytes) -> None:
        """A datagram came from a dialler, perhaps one that is not known yet."""
        now = monotonic_ns()
        dialler = self._diallers.get(address)
        if dialler is not None:
            dialler.last_ns = now
            dialler.up.offer(data, now)
            return
        newcomer = self._newcomers.get(address)
        if newcomer is None:
            self._make_room()
            newcomer = self._newcomers[address] = _Newcomer()
            newcomer.task = self.loop.create_task(self._let_in(address, newcomer))
        if len(newcomer.datagrams) < AT_ONCE:
            newcomer.datagrams.append((now, data))

    def admit(self, address: Address, sock: socket.socket, probe: Probe | None = None) -> None:
        """Know a dialler from now on, and the socket by which the node knows it."""
        up = self._flow(upstream=True, send=partial(self._send_up, sock) if probe is None else sock.send, probe=probe)
        down = self._flow(upstream=False, send=partial(self.listening.send_to, address), probe=probe)
        self._diallers[address] = dialler = _Dialler(sock, up, down)
        self.loop.add_reader(sock.fileno(), self._from_node, dialler)

    def forget(self, address: Address) -> None:
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

    async def _let_in(self, address: Address, newcomer: _Newcomer) -> None:
        try:
            sock = await self._node_socket()
        except OSError:
            return  # out of sockets, or the door is gone: a network loses datagrams for less
        finally:
            del self._newcomers[address]
        self.admit(address, sock)
        for now, data in newcomer.datagrams:
            self._diallers[address].up.offer(data, now)

    async def _node_socket(self) -> socket.socket:
        """A socket that sends to the node, from the network in which it lives. OSError: none can be had."""
        family = socket.AF_INET6 if ":" in self.spec.upstream[0] else socket.AF_INET
        sock = await self.doors.fresh(self.spec.dial_door, family, socket.SOCK_DGRAM)
        try:
            if self.spec.upstream_source:
                sock.bind((self.spec.upstream_source, 0))
            sock.connect(self.spec.upstream)
        except OSError:
            sock.close()
            raise
        return sock

    def _send_up(self, sock: socket.socket, data: bytes) -> None:
        if self.node_has_ended():
            raise ConnectionRefusedError("the node is dead")
        send_anyway(sock, data)

    def _from_node(self, dialler: _Dialler) -> None:
        for _ in range(AT_ONCE):
            try:
                data = dialler.sock.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:  # nobody listens at the node: the datagram is lost, as on any network
                return
            dialler.last_ns = now = monotonic_ns()
            dialler.down.offer(data, now)

    def _make_room(self) -> None:
        if self._diallers and len(self._diallers) + len(self._newcomers) >= _MAX_DIALLERS:
            self.forget(min(self._diallers, key=lambda address: self._diallers[address].last_ns))

    def _sweep(self) -> None:
        for address in [address for address, dialler in self._diallers.items() if dialler.idle]:
            self.forget(address)
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)


def send_anyway(sock: socket.socket, data: bytes) -> None:
    """Send a datagram although an earlier one met nobody: a connected socket says so in place of sending the next one."""
    try:
        sock.send(data)
    except ConnectionRefusedError:
        sock.send(data)


def _silent(state: DirectionState) -> DirectionState:
    """What a state means where nothing can be refused or reset."""
    gone = state.mode is LinkMode.REFUSE or state.replies_lost
    return replace(state, mode=LinkMode.DROP, frames=(), replies_lost=False) if gone else state


def _tell(probe: Probe, upstream: bool, mode: LinkMode, size: int) -> None:
    (probe.held if mode is LinkMode.HOLD else probe.discarded)(upstream, size)
