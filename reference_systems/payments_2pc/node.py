"""A node: wires the pure state machine to clock, network and disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame
from reference_systems.kit.peers import Peers
from reference_systems.payments_2pc.config import Config, Placement
from reference_systems.payments_2pc.core import Payments
from reference_systems.payments_2pc.durable import Durable
from reference_systems.payments_2pc.messages import (
    ANSWERS,
    REQUEST,
    RESPONSE,
    STATUS,
    STATUS_OK,
    Decision,
    Message,
    coordinator_of,
    decode,
    to_frame,
)
from reference_systems.payments_2pc.requests import REPORTS, BadRequest, parse
from reference_systems.payments_2pc.state import State

__all__ = ["PaymentNode", "main", "serve"]

CLIENT_PORT = "client"
_LONGEST_WAIT_S = 0.1
_UNANSWERED_S = 2.0
_BLOCKS_S = 1.0
Respond = Callable[[dict[str, Any]], object]


async def main(env: Env) -> None:
    """Recover, listen, serve for ever. Any error of the disk ends the node."""
    await serve(env, Config.of(env.options), Payments)


async def serve(env: Env, config: Config, machine: type[Payments]) -> None:
    """A node that runs this state machine."""
    accounts = Placement(env.nodes, config).held_by(env.name)
    state = State(balances=dict.fromkeys(accounts, config.initial), remembered=config.remembered)
    durable = await Durable.open(env.disk, state, compact_bytes=config.compact_bytes)
    core = machine(name=env.name, nodes=env.nodes, config=config, state=state, now=env.clock.now())
    await PaymentNode(env, config, durable, core).run()


class PaymentNode:
    """One node of the service."""

    def __init__(self, env: Env, config: Config, durable: Durable, core: Payments) -> None:
        self._env = env
        self._config = config
        self._durable = durable
        self._core = core
        self._peers = Peers(
            env,
            answers=ANSWERS,
            unanswered_s=_UNANSWERED_S,
            read=decode,
            receive=self._on_message,
            connected=self._on_connected,
        )
        self._waiting: dict[int, Respond] = {}
        self._blocked: list[str] = []
        self._tokens = 0
        self._dirty = asyncio.Event()

    async def run(self) -> None:
        """Serve until the process dies."""
        await self._peers.start()
        await self._env.network.listen(CLIENT_PORT, self._serve_client)
        self._env.spawn(self._write_for_ever())
        await self._tick_for_ever()

    async def _tick_for_ever(self) -> None:
        clock = self._env.clock
        while True:
            due = self._core.deadline
            wait_s = _LONGEST_WAIT_S if due is None else due - clock.now()
            await clock.sleep(min(max(wait_s, 0.001), _LONGEST_WAIT_S))
            self._core.tick(clock.now())
            self._settle()
            self._tell_who_blocks()

    def _tell_who_blocks(self) -> None:
        """Blocking is no secret: the log says when it begins to last, and when it is over."""
        in_doubt = self._core.participant.in_doubt(self._env.clock.now())
        for tx in [tx for tx in self._blocked if tx not in in_doubt]:
            self._blocked.remove(tx)
            print(f"{tx} is decided: its locks are released", flush=True)
        for tx, seconds in in_doubt.items():
            if seconds >= _BLOCKS_S and tx not in self._blocked:
                self._blocked.append(tx)
                print(f"{tx} is in doubt for {seconds} s: {coordinator_of(tx)} does not say what it decided", flush=True)

    async def _write_for_ever(self) -> None:
        """Group commit: all that was forced during one sync goes into the next."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            number, records = self._core.journal.take()
            await self._durable.write(records)
            if self._durable.is_long and not self._core.journal.has_pending:
                await self._durable.compact(self._core.state.encode())
            self._core.became_durable(number, self._env.clock.now())
            self._settle()

    def _on_message(self, peer: str, message: Message) -> None:
        self._core.receive(peer, message, self._env.clock.now())
        self._settle()

    def _on_connected(self, peer: str) -> None:
        self._core.connected(peer, self._env.clock.now())
        self._settle()

    def _settle(self) -> None:
        """Carry out what the last event led to."""
        for peer, message in self._core.take_messages():
            awaited = not isinstance(message, Decision) or self._config.acknowledged(message.commit)
            self._peers.send(peer, to_frame(message, self._env.index), awaited=awaited)
        for token, answer in self._core.take_answers():
            self._waiting.pop(token)(answer)
        if self._core.journal.wants_sync:
            self._dirty.set()

    # Clients

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if frame.kind == STATUS:
                self._answer(connection, STATUS_OK, frame, self._core.status(self._env.clock.now()))
            elif frame.kind == REQUEST:
                self._on_request(connection, frame)
            else:
                return

    def _answer(self, connection: Connection, kind: int, asked: Frame, answer: dict[str, Any]) -> None:
        body = json.dumps(answer, separators=(",", ":")).encode()
        connection.send(Frame(kind=kind, operations=asked.operations, sender=self._env.index, body=body))

    def _on_request(self, connection: Connection, frame: Frame) -> None:
        def respond(answer: dict[str, Any]) -> None:
            self._answer(connection, RESPONSE, frame, answer)

        now = self._env.clock.now()
        try:
            request = parse(frame.body, longest_bytes=self._config.max_request_bytes)
        except BadRequest as error:
            respond({"status": "bad_request", "reason": str(error)})
            return
        if request.f in REPORTS:
            respond({"status": "ok", "value": self._core.report(request.f, now)})
            return
        self._tokens += 1
        self._waiting[self._tokens] = respond
        self._core.ask(self._tokens, frame.operations[0] if frame.operations else 0, request, now)
        self._settle()
