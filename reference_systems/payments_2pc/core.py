"""A node as a pure state machine: events and the time in; messages, records and answers out.

Whoever drives it, after each event: sends `take_messages`, gives `take_answers` to the clients, writes what
`journal.take` gives when the journal wants a sync, and reports it to `became_durable`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from reference_systems.payments_2pc.config import EACH, Config, Placement
from reference_systems.payments_2pc.coordinator import Answer, Coordinator
from reference_systems.payments_2pc.journal import Journal
from reference_systems.payments_2pc.messages import Ack, Decision, Inquire, Message, Outcome, Prepare, Vote
from reference_systems.payments_2pc.participant import Participant
from reference_systems.payments_2pc.requests import Request
from reference_systems.payments_2pc.state import State

__all__ = ["Payments"]


class Payments:
    """One node: coordinator, participant, or both.

    Args:
        name: This node.
        nodes: All nodes, itself included.
        config: Times and options.
        state: What it found on its disk; its incarnation is this life's.
        now: Monotonic seconds, as in every call.
    """

    coordinators: type[Coordinator] = Coordinator
    participants: type[Participant] = Participant

    def __init__(self, *, name: str, nodes: Sequence[str], config: Config, state: State, now: float) -> None:
        self.journal = Journal()
        self.state = state
        self._name = name
        self._config = config
        self._placement = Placement(nodes, config)
        self._messages: list[tuple[str, Message]] = []
        self._to_itself: deque[Message] = deque()
        self._answers: list[tuple[int, Answer]] = []
        self.participant = self.participants(state, self.journal, self._send, config, now)
        self.coordinator = self.coordinators(name, state, self.journal, self._send, self._respond, config, now)

    def _send(self, node: str, message: Message) -> None:
        if node == self._name:
            self._to_itself.append(message)  # no message between nodes: it costs nothing
        else:
            self._messages.append((node, message))

    def _respond(self, token: int, answer: Answer) -> None:
        self._answers.append((token, answer))

    # Events

    def ask(self, token: int, operation: int, request: Request, now: float) -> None:
        """A client's transaction; the answer comes under its token."""
        if self._config.coordinator not in (EACH, self._name):
            self._respond(token, {"status": "not_coordinator", "coordinator": self._config.coordinator})
            return
        legs: dict[str, list[tuple[str, int]]] = {}
        reads: dict[str, list[str]] = {}
        for account, amount in request.legs:
            legs.setdefault(self._holder(account), []).append((account, amount))
        for account in self._placement.accounts if request.f == "total" else request.reads:
            reads.setdefault(self._holder(account), []).append(account)
        nodes = dict.fromkeys((*legs, *reads))
        shares = {
            node: Prepare(
                tx="",
                operation=operation,
                key=request.key,
                legs=tuple(legs.get(node, ())),
                reads=tuple(reads.get(node, ())),
                sole=len(nodes) == 1,
            )
            for node in nodes
        }
        self.coordinator.begin(token, operation, request.key, shares, now)
        self._settle(now)

    def _holder(self, account: str) -> str:
        return self._placement.holder(account) or self._placement.participants[0]  # which says that there is none

    def receive(self, peer: str, message: Message, now: float) -> None:
        """A message came."""
        self._receive(peer, message, now)
        self._settle(now)

    def connected(self, peer: str, now: float) -> None:
        """A connection to the peer stands."""
        self.coordinator.connected(peer, now)
        self.participant.connected(peer, now)
        self._settle(now)

    def tick(self, now: float) -> None:
        """Time passed."""
        self.coordinator.tick(now)
        self.participant.tick(now)
        self._settle(now)

    def became_durable(self, number: int, now: float) -> None:
        """Records up to `number` are on the disk."""
        self.journal.became_durable(number)
        self._settle(now)

    def _settle(self, now: float) -> None:
        while self._to_itself:
            self._receive(self._name, self._to_itself.popleft(), now)

    def _receive(self, peer: str, message: Message, now: float) -> None:
        match message:
            case Prepare():
                self.participant.on_prepare(peer, message, now)
            case Vote():
                self.coordinator.on_vote(peer, message, now)
            case Decision():
                self.participant.on_decision(peer, message)
            case Ack():
                self.coordinator.on_ack(peer, message.tx)
            case Inquire():
                self.coordinator.on_inquire(peer, message.tx)
            case Outcome(commit=bool() as commit) if message.tx in self.state.prepared:
                self.participant.on_decision(peer, Decision(tx=message.tx, commit=commit))

    # What comes of them

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None: not before the next event."""
        dues = (self.coordinator.deadline, self.participant.deadline)
        return min((due for due in dues if due is not None), default=None)

    def take_messages(self) -> list[tuple[str, Message]]:
        """Messages to send now: (node, message)."""
        messages, self._messages = self._messages, []
        return messages

    def take_answers(self) -> list[tuple[int, Answer]]:
        """Answers to clients: (token, answer)."""
        answers, self._answers = self._answers, []
        return answers

    # What the node says of itself

    def report(self, f: str, now: float) -> dict[str, Any]:
        """One of the reports that clients may ask a node for: `decisions`, `accounts`, `locks`, `charges`."""
        state, participant = self.state, self.participant
        if f == "accounts":
            opened = dict.fromkeys(state.balances, self._config.initial)
            return {"balances": dict(state.balances), "opened": opened}
        if f == "locks":
            return {"held": participant.locks.held(), "in_doubt": participant.in_doubt(now)}
        if f == "charges":
            return {"applied": {key: times for key, (times, _) in state.charges.items()}, "forgotten": state.forgotten}
        decided = {tx: said for tx, said in state.coordinated.items() if self.coordinator.may_tell(tx)}
        return {
            **participant.report(),
            "coordinated": {tx: "commit" if commit else "abort" for tx, (commit, _) in decided.items()},
            "enlisted": {tx: list(nodes) for tx, (_, nodes) in decided.items()},
            "in_doubt": participant.in_doubt(now),
            "forgotten": state.forgotten,
        }

    def status(self, now: float) -> dict[str, Any]:
        """For probes: what blocks, since when, and who else is waited for."""
        return {
            "name": self._name,
            "incarnation": self.state.incarnation,
            "in_doubt": self.participant.in_doubt(now),
            "unacknowledged": {one.tx: list(one.unacked) for one in self.coordinator.active.values() if one.decided},
            "voting": [one.tx for one in self.coordinator.active.values() if not one.decided],
        }
