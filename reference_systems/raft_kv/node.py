"""A node: wires the pure Raft server and the state machine to clock, network and disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reference_systems.kit.env import Connection, Env
from reference_systems.kit.frames import Frame
from reference_systems.kit.peers import Peers
from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.core import Raft, Role
from reference_systems.raft_kv.durable import Durable
from reference_systems.raft_kv.messages import Message
from reference_systems.raft_kv.replica import Stored
from reference_systems.raft_kv.requests import BadRequest, Request, parse
from reference_systems.raft_kv.state_machine import StateMachine
from reference_systems.raft_kv.wire import ANSWERS, REQUEST, RESPONSE, STATUS, STATUS_OK, decode, to_frame

__all__ = ["RaftNode", "main", "serve"]

CLIENT_PORT = "client"
Respond = Callable[[dict[str, Any]], object]


async def main(env: Env) -> None:
    """Recover, listen, serve for ever. Any error of the disk ends the node."""
    await serve(env, RaftNode)


async def serve(env: Env, node: type[RaftNode]) -> None:
    """`main`, with that class of node."""
    durable, stored = await Durable.open(env.disk)
    await node(env, Config.of(env.options), durable, stored).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposed:
    """A write that waits for its entry to be applied."""

    term: int
    respond: Respond


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A read that waits for its ReadIndex round."""

    key: str
    respond: Respond


class RaftNode:
    """One server of the store."""

    raft_type: type[Raft] = Raft
    machine_type: type[StateMachine] = StateMachine

    def __init__(self, env: Env, config: Config, durable: Durable, stored: Stored) -> None:
        self._env = env
        self._config = config
        self._durable = durable
        self._machine = self.machine_type(int(config.max_sessions))
        self._raft = self.raft_type(name=env.name, nodes=env.nodes, config=config, rng=env.random, stored=stored, now=self._now())
        self._peers = Peers(
            env,
            answers=ANSWERS,
            unanswered_s=2 * config.election_s[1],
            read=decode,
            receive=self._on_message,
            connected=self._on_connected,
        )
        self._proposed: dict[int, _Proposed] = {}
        self._reading: dict[int, _Reading] = {}
        self._handing_over: list[Respond] = []
        self._tokens = 0
        self._led_term: int | None = None
        self._dirty = asyncio.Event()

    def _now(self) -> float:
        return self._env.clock.now()

    async def run(self) -> None:
        """Serve until the process dies."""
        self._settle()  # load the snapshot that was found
        await self._peers.start()
        await self._env.network.listen(CLIENT_PORT, self._serve_client)
        self._env.spawn(self._write_for_ever())
        await self._tick_for_ever()

    async def _tick_for_ever(self) -> None:
        while True:
            until_due = self._raft.deadline - self._now()
            await self._env.clock.sleep(min(max(until_due, 0.001), self._config.heartbeat_s))
            self._raft.tick(self._now())
            self._settle()

    async def _write_for_ever(self) -> None:
        """Group commit: all that was written during one sync goes into the next."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            number, writes = self._raft.replica.take_writes()
            await self._durable.write(writes)
            self._raft.became_durable(number, self._now())
            self._settle()

    def _on_message(self, peer: str, message: Message) -> None:
        self._raft.receive(peer, message, self._now())
        self._settle()

    def _on_connected(self, peer: str) -> None:
        self._raft.connected(peer, self._now())
        self._settle()

    def _settle(self) -> None:
        """Carry out what the last event led to."""
        raft = self._raft
        for peer, message in raft.take_messages():
            self._peers.send(peer, to_frame(message, self._env.index))
        restore = raft.take_restore()
        if restore:
            self._machine.load(restore.state)
        committed = raft.take_committed()
        for index, entry in committed:
            answer = self._machine.apply(index, entry.data)
            proposed = self._proposed.pop(index, None)
            if proposed:
                proposed.respond(answer if proposed.term == entry.term else self._not_leader())
        for token in raft.take_reads():
            reading = self._reading.pop(token)
            reading.respond({"status": "ok", "value": self._machine.get(reading.key)})
        self._note_leadership()
        if committed and self._snapshot_due():
            raft.save_snapshot(self._machine.dump())
        if raft.replica.has_writes:
            self._dirty.set()

    def _snapshot_due(self) -> bool:
        """Nodes take turns: if all wrote their snapshots at the same entry, no majority could sync meanwhile."""
        raft, every = self._raft, int(self._config.snapshot_every_entries)
        turn = self._env.index * every // len(self._env.nodes)
        covered = raft.replica.snapshot.index if raft.replica.snapshot else 0
        return (raft.applied - turn) // every > max(0, covered - turn) // every

    def _note_leadership(self) -> None:
        """Whoever waits at a leader that was deposed is told: a write may still happen, all else may be asked elsewhere."""
        if self._handing_over and not self._raft.handing_over:
            handing_over, self._handing_over = self._handing_over, []
            for respond in handing_over:
                respond(self._not_leader())
        led_term = self._raft.term if self._raft.role is Role.LEADER else None
        if led_term == self._led_term:
            return
        self._led_term = led_term
        proposed, self._proposed = self._proposed, {}
        reading, self._reading = self._reading, {}
        for write in proposed.values():
            write.respond({"status": "unknown", "leader": self._raft.leader})
        for read in reading.values():
            read.respond(self._not_leader())

    def _not_leader(self) -> dict[str, Any]:
        return {"status": "not_leader", "leader": self._raft.leader}

    # Clients

    async def _serve_client(self, connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            if frame.kind == STATUS:
                self._answer(connection, STATUS_OK, frame, self.status())
            elif frame.kind == REQUEST:
                self._on_request(connection, frame)
            else:
                return
            self._settle()

    def _answer(self, connection: Connection, kind: int, asked: Frame, answer: dict[str, Any]) -> None:
        body = json.dumps(answer, separators=(",", ":")).encode()
        connection.send(Frame(kind=kind, operations=asked.operations, sender=self._env.index, body=body))

    def _on_request(self, connection: Connection, frame: Frame) -> None:
        def respond(answer: dict[str, Any]) -> None:
            self._answer(connection, RESPONSE, frame, answer)

        try:
            request = parse(frame.body, longest_bytes=int(self._config.max_value_bytes))
        except BadRequest as error:
            respond({"status": "bad_request", "reason": str(error)})
            return
        if self._raft.role is not Role.LEADER:
            respond(self._not_leader())
        elif request.f == "transfer":
            self._hand_over(request.nodes[0], respond)
        elif self._raft.handing_over and request.f != "get":
            respond({"status": "busy", "reason": "the leader hands over"})
        elif len(self._proposed) + len(self._reading) >= self._config.max_pending:
            respond({"status": "busy"})
        else:
            self._start(request, frame, respond)

    def _start(self, request: Request, frame: Frame, respond: Respond) -> None:
        operation = frame.operations[0] if frame.operations else 0
        if request.f == "get":
            value = self._machine.get(request.key)
            if self._raft.holds_lease(self._now()):  # asked after the value was read: a pause between them does no harm
                respond({"status": "ok", "value": value})
                return
            self._tokens += 1
            self._reading[self._tokens] = _Reading(key=request.key, respond=respond)
            self._raft.read(self._tokens, operation)
            return
        if request.f == "reconfigure":
            self._reconfigure(request.nodes, operation, respond)
            return
        index = self._raft.propose(operation, frame.body, self._now())
        if index is None:
            respond(self._not_leader())
        else:
            self._proposed[index] = _Proposed(term=self._raft.term, respond=respond)

    def _reconfigure(self, names: tuple[str, ...], operation: int, respond: Respond) -> None:
        strangers = [name for name in names if name not in self._env.nodes]
        replica = self._raft.replica
        try:
            if strangers:
                raise ValueError(f"there is no node {', '.join(strangers)}")
            settled = set(names) == set(replica.voters.names) and replica.voters_index <= replica.commit
            index = None if settled else self._raft.reconfigure(names, operation, self._now())
        except ValueError as error:
            respond({"status": "bad_request", "reason": str(error)})
            return
        if settled:
            respond({"status": "ok", "value": None})
        elif index is None:
            respond({"status": "busy", "reason": "an entry before it is not committed yet"})
        else:
            self._proposed[index] = _Proposed(term=self._raft.term, respond=respond)

    def _hand_over(self, successor: str, respond: Respond) -> None:
        """Answered when it is over: by the one who leads then, whom the client asks again."""
        if successor == self._env.name:
            respond({"status": "ok", "value": None})
        elif self._raft.handing_over or self._raft.hand_over(successor, self._now()):
            self._handing_over.append(respond)
        else:
            respond(
                {
                    "status": "bad_request",
                    "reason": f"{successor} is no voter; voters: {', '.join(self._raft.replica.voters.names)}",
                }
            )

    def status(self) -> dict[str, Any]:
        """What the node says of itself on the client port."""
        raft = self._raft
        return {
            "name": self._env.name,
            "role": str(raft.role),
            "term": raft.term,
            "leader": raft.leader,
            "commit": raft.replica.commit,
            "applied": raft.applied,
            "digests": self._machine.digests(),
            "last_index": raft.replica.log.last_index,
            "voters": list(raft.replica.voters.names),
            "snapshot_index": raft.replica.snapshot.index if raft.replica.snapshot else 0,
        }
