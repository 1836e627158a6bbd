"""A node: wires the pure replica to clock, network and disk."""

from __future__ import annotations

import asyncio
from typing import Any

from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.config import Config
from reference_systems.crdt_cart.core import Replica, Stored, Write, neighbours_of
from reference_systems.crdt_cart.durable import WAL, Durable
from reference_systems.crdt_cart.line import PORT, Line
from reference_systems.crdt_cart.messages import DELTA, REQUEST, RESPONSE, Interval, packed
from reference_systems.crdt_cart.requests import BadRequest, Request, parse
from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame, FrameError

__all__ = ["CartNode", "main"]

CLIENT_PORT = "client"


async def main(env: Env) -> None:
    """Recover, listen, serve for ever. Any error of the disk ends the node."""
    await CartNode(env).run()


class CartNode:
    """One node of the cart. What kind of cart and replica it has is a class attribute."""

    cart: type[Cart] = Cart
    replica: type[Replica] = Replica

    def __init__(self, env: Env) -> None:
        self.env = env
        self.config = Config.of(env.options)
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._dirty = asyncio.Event()

    async def run(self) -> None:
        """Serve until the process dies."""
        env, config = self.env, self.config
        if config.volatile:
            await env.disk.remove(WAL)
            await env.disk.sync_dir()
        self.durable, stored = await Durable.open(env.disk, self.new_identity, self.cart)
        self.state = self.begin(stored)
        await env.network.listen(PORT, self._serve_neighbour)
        await env.network.listen(CLIENT_PORT, self._serve_client)
        for peer in neighbours_of(env.name, env.nodes):
            env.spawn(self._sync_for_ever(peer))
        await self._write_for_ever()

    def new_identity(self) -> str:
        """A name in dots that no other disk of this node has ever had: what was lost with a disk is not counted again."""
        env = self.env
        return f"{env.name}.{int(env.clock.wall() * 1000):x}.{env.random.getrandbits(32):x}"

    def begin(self, stored: Stored) -> Replica:
        """The replica of this life."""
        return self.replica(
            stored,
            neighbours=neighbours_of(self.env.name, self.env.nodes),
            life=self.env.random.getrandbits(48),
            max_deltas=int(self.config.max_deltas),
            max_operations=int(self.config.max_operations),
        )

    # Disk

    async def written(self, write: Write) -> Write:
        """The write, once it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, done))
        self._dirty.set()
        await done
        return write

    async def _write_for_ever(self) -> None:
        """Group commit: all that comes during one sync goes into the next."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            batch, self._waiting = self._waiting, []
            await self.commit([write for write, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
            if self.durable.size > self.config.max_log_bytes and not self._waiting:
                await self.durable.replace(self.state.stored())

    async def commit(self, writes: list[Write]) -> None:
        """Make writes durable, then show them and hand them on."""
        await self.durable.write(writes)
        for write in writes:
            self.state.became_durable(write)

    # Neighbours

    async def _sync_for_ever(self, peer: str) -> None:
        env, line = self.env, Line(self.env, peer, self.config.answer_ms / 1000)
        while True:
            await env.clock.sleep(self.config.sync_ms / 1000 * env.random.uniform(0.5, 1.0))
            interval = self.state.interval_for(peer)
            ack = await line.ask(interval) if interval else None
            if interval and ack:
                self.state.acknowledged(peer, interval, ack)

    async def _serve_neighbour(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if not 1 <= frame.sender <= len(self.env.nodes) or frame.kind != DELTA:
                return
            try:
                interval = Interval.of(frame, self.cart)
            except FrameError:
                return  # garbage: the connection cannot be trusted any further
            heard = await self.written(self.state.hear(self.env.nodes[frame.sender - 1], interval))
            connection.send(heard.answer.frame(self.env.index))

    # Clients

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if frame.kind != REQUEST:
                return
            try:
                answer = {"status": "ok", "value": await self.perform(parse(frame))}
            except BadRequest as error:
                answer = {"status": "bad_request", "reason": str(error)}
            body = packed(answer)
            connection.send(Frame(kind=RESPONSE, operations=frame.operations, sender=self.env.index, body=body))

    async def perform(self, request: Request) -> Any:
        """What the client is answered. No other node is asked anything."""
        if request.f == "add":
            return (await self.written(self.state.add(request.operation, request.item, request.quantity))).answer
        if request.f == "remove":
            return (await self.written(self.state.remove(request.operation, request.item))).answer
        return self.state.stats() if request.f == "stats" else self.state.cart.quantities()
