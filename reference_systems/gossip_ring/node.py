"""A node: wires the pure membership and the ring to clock and network."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.exchanges import Exchanges
from reference_systems.gossip_ring.messages import (
    HAND_OFF,
    HANDED_OFF,
    PROBE,
    PROBE_OK,
    REQUEST,
    RESPONSE,
    STATUS,
    STATUS_OK,
    SYNC,
    SYNC_OK,
    decode,
    decode_updates,
    encode_updates,
    to_frame,
)
from reference_systems.gossip_ring.requests import BadRequest, Request, parse
from reference_systems.gossip_ring.ring import Ring
from reference_systems.gossip_ring.swim import Exchange, Swim, Why
from reference_systems.kit.env import Connection, Datagrams, Env
from reference_systems.kit.frames import Frame, FrameError

__all__ = ["SAMPLE", "GossipNode", "main"]

GOSSIP_PORT, CLIENT_PORT = "gossip", "client"
SAMPLE = tuple(f"key-{number}" for number in range(256))
"""The keys whose owners a node names when it is asked for its ring."""

_SYNC_TIMEOUT_S = 1.0
_HAND_OFF_TIMEOUT_S = 0.5


async def main(env: Env) -> None:
    """Listen, join, serve for ever."""
    await GossipNode(env, Config.of(env.options)).run()


class GossipNode:
    """One member of the group, and its place on the ring."""

    def __init__(self, env: Env, config: Config) -> None:
        self.env = env
        self.config = config
        self._ring = self.make_ring()
        self._exchanges = Exchanges(env, self._answer_peer)
        self._datagrams: Datagrams | None = None
        self._swim = self.make_swim()

    # What a variant may do otherwise

    def make_swim(self, swim: type[Swim] = Swim) -> Swim:
        """Its part in the membership."""
        env, config = self.env, self.config
        return swim(name=env.name, seeds=env.nodes[: config.seeds], config=config, rng=env.random, now=self.now())

    def make_ring(self) -> Ring:
        """Who owns what."""
        return Ring(self.config.points)

    def now(self) -> float:
        """The clock that all times of the membership count on."""
        return self.env.clock.now()

    # What happens

    async def run(self) -> None:
        """Serve until the process dies."""
        network = self.env.network
        self._datagrams = await network.open_datagrams(GOSSIP_PORT, self._on_datagram)
        await self._exchanges.listen()
        await network.listen(CLIENT_PORT, self._serve_client)
        while True:
            self._swim.tick(self.now())
            self._settle()
            wait_s = self._swim.deadline - self.now()
            await self.env.clock.sleep(min(max(wait_s, 0.001), self.config.period_s / 2))

    def _settle(self) -> None:
        """Carry out what the last event led to."""
        for peer, message in self._swim.take_messages():
            self._send(peer, to_frame(message, self.env.index))
        for exchange in self._swim.take_exchanges():
            self.env.spawn(self._carry_out(exchange))

    def _send(self, peer: str, frame: Frame) -> None:
        try:
            if self._datagrams is not None:
                self._datagrams.send(peer, frame)
        except ConnectionRefusedError:
            pass  # a member of whose link this node does not know yet: lost, as any datagram may be

    def _on_datagram(self, frame: Frame) -> None:
        nodes, sender = self.env.nodes, frame.sender
        if not 1 <= sender <= len(nodes) or sender == self.env.index:
            return
        try:
            message = decode(frame)
        except FrameError:
            return  # garbage, however it came
        self._swim.receive(nodes[sender - 1], message, self.now())
        self._settle()

    # Connections of members

    async def _carry_out(self, exchange: Exchange) -> None:
        if exchange.why is Why.PROBE:
            question, timeout_s = self._frame(PROBE), self.config.period_s
        else:
            question, timeout_s = self._frame(SYNC, encode_updates(self._swim.members.all())), _SYNC_TIMEOUT_S
        answer = await self._exchanges.ask(exchange.peer, question, timeout_s)
        if answer is None:
            return
        if answer.kind == PROBE_OK:
            self._swim.answered(exchange)
        elif answer.kind == SYNC_OK:
            self._learn(exchange.peer, answer)
        self._settle()

    def _learn(self, peer: str, frame: Frame) -> bool:
        try:
            self._swim.learn(decode_updates(frame.body), peer, self.now())
        except FrameError:
            return False
        return True

    def _answer_peer(self, peer: str, frame: Frame, send: Callable[[Frame], object]) -> bool:
        if frame.kind == PROBE:
            send(self._frame(PROBE_OK))
        elif frame.kind == SYNC and self._learn(peer, frame):
            send(self._frame(SYNC_OK, encode_updates(self._swim.members.all())))
        elif frame.kind == HAND_OFF:
            self.env.spawn(self._answer(frame, HANDED_OFF, send))
        else:
            return False
        self._settle()
        return True

    def _frame(self, kind: int, body: bytes = b"", operations: tuple[int, ...] = ()) -> Frame:
        return Frame(kind=kind, operations=operations, sender=self.env.index, body=body)

    # Clients

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if frame.kind == STATUS:
                connection.send(self._frame(STATUS_OK, _text({"name": self.env.name, "members": len(self._present())})))
            elif frame.kind == REQUEST:
                await self._answer(frame, RESPONSE, connection.send)
            else:
                return

    async def _answer(self, frame: Frame, kind: int, send: Callable[[Frame], object]) -> None:
        """Do what a request asks, or a hand-off, which is one more request; and answer under its operation's id."""
        try:
            answer = await self._do(parse(frame.body), frame.operations)
        except BadRequest as error:
            answer = {"status": "bad_request", "reason": str(error)}
        send(self._frame(kind, _text(answer), frame.operations))

    async def _do(self, request: Request, operations: tuple[int, ...]) -> dict[str, Any]:
        if request.f == "lookup":
            return await self._look_up(request, operations)
        if request.f == "leave":
            self._swim.leave(self.now())
            self._settle()
            return _ok(None)
        return _ok({"members": self._tell_members, "events": self._tell_events, "ring": self._tell_ring}[request.f]())

    async def _look_up(self, request: Request, operations: tuple[int, ...]) -> dict[str, Any]:
        """The owner answers; anybody else hands the question to whom it takes for the owner."""
        self._ring.set_members(self._present())
        owner = self._ring.owner(request.key)
        if owner == self.env.name:
            return _ok({"owner": owner, "hops": request.hops})
        if owner is None or request.hops >= self.config.hops:
            return _failed(f"after {request.hops} hops {self.env.name} takes {owner} for the owner")
        question = _text({"f": "lookup", "key": request.key, "hops": request.hops + 1})
        frame = self._frame(HAND_OFF, question, operations)
        answer = await self._exchanges.ask(owner, frame, _HAND_OFF_TIMEOUT_S)
        try:
            told: dict[str, Any] = json.loads(answer.body) if answer is not None and answer.kind == HANDED_OFF else {}
        except ValueError:
            told = {}
        return told or _failed(f"{owner}, whom {self.env.name} takes for the owner, did not answer")

    def _present(self) -> tuple[str, ...]:
        return self._swim.members.present()

    def _tell_members(self) -> dict[str, Any]:
        return {one.name: [one.state.name.lower(), one.incarnation] for one in sorted(self._swim.members.all())}

    def _tell_events(self) -> dict[str, Any]:
        events = [
            [event.at, event.update.name, event.update.state.name.lower(), event.update.incarnation, event.by]
            for event in self._swim.members.events
        ]
        promises = self.config.promises(len(self.env.nodes))
        return {"now": self.now(), "wall": self.env.clock.wall(), "events": events, "promises": promises}

    def _tell_ring(self) -> dict[str, Any]:
        self._ring.set_members(self._present())
        owners = {key: self._ring.owner(key) for key in SAMPLE}
        return {"members": list(self._ring.members), "owners": owners, "shares": self._ring.shares()}


def _text(answer: object) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def _ok(value: object) -> dict[str, Any]:
    return {"status": "ok", "value": value}


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason}
