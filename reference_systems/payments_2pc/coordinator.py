"""The coordinator of two-phase commit: questions side by side, one durable decision, and answers until all know it. Pure.

Presumed abort and presumed commit: Mohan, Lindsay, Obermarck, "Transaction Management in the R* Distributed Database
Management System" (1986). What is presumed of a transaction that the coordinator does not know is what it need not log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from reference_systems.payments_2pc.config import Config
from reference_systems.payments_2pc.journal import Journal, Record
from reference_systems.payments_2pc.messages import Decision, Message, Outcome, Prepare, Vote
from reference_systems.payments_2pc.state import State

__all__ = ["Answer", "Coordinator", "Transaction"]

Answer = dict[str, Any]
_STATUS = MappingProxyType({"insufficient": "insufficient", "account": "bad_request", "key": "bad_request"})


@dataclass(slots=True, kw_only=True)
class Transaction:
    """One that is under way.

    Args:
        tx: Its id.
        operation: The client operation it serves.
        key: Its idempotency key; None for reads.
        shares: Participant -> what it is asked.
        due: When votes must be in; after the decision: when it is sent again.
        waiting: Tokens of the clients that wait for the answer.
        votes: As they came.
        commit: The decision; None: none yet.
        decided: The decision is durable and may be told.
        unacked: Who has not acknowledged it.
    """

    tx: str
    operation: int
    key: str | None = None
    shares: Mapping[str, Prepare] = field(default_factory=dict)
    due: float
    waiting: list[int] = field(default_factory=list)
    votes: dict[str, Vote] = field(default_factory=dict)
    commit: bool | None = None
    decided: bool = False
    unacked: list[str] = field(default_factory=list)


class Coordinator:
    """Coordinates transactions.

    Args:
        name: The node.
        state: What it remembers; decisions that not everybody acknowledged are taken up again.
        journal: Where records go.
        send: Called with (node, message).
        respond: Called with (token, answer).
        config: Times and options.
        now: Monotonic seconds, as in every call.
    """

    def __init__(
        self,
        name: str,
        state: State,
        journal: Journal,
        send: Callable[[str, Message], None],
        respond: Callable[[int, Answer], None],
        config: Config,
        now: float,
    ) -> None:
        self.active: dict[str, Transaction] = {}
        self._name = name
        self._state = state
        self._journal = journal
        self._send = send
        self._respond = respond
        self._config = config
        self._now = now
        self._numbers = 0
        for tx, one in list(state.coordinating.items()):
            self._take_up(tx, one.operation, one.participants, one.commit is True)

    def _take_up(self, tx: str, operation: int, participants: tuple[str, ...], commit: bool) -> None:
        """After a crash: what was being collected is aborted; what is presumed need not be told."""
        if self._config.acknowledged(commit):
            self.active[tx] = Transaction(
                tx=tx, operation=operation, due=self._now, commit=commit, decided=True, unacked=list(participants)
            )
        else:
            self._note({"kind": "end", "tx": tx})

    # Phase one

    def begin(self, token: int, operation: int, key: str | None, shares: Mapping[str, Prepare], now: float) -> None:
        """Ask all participants; a request whose key is under way waits for that answer instead."""
        self._now = now
        same = next((one for one in self.active.values() if key is not None and one.key == key and not one.decided), None)
        if same is not None:
            same.waiting.append(token)
            return
        one = Transaction(
            tx=self.next_id(), operation=operation, key=key, shares=shares, due=now + self._config.vote_timeout_ms / 1000
        )
        one.waiting.append(token)
        self.active[one.tx] = one
        if self._config.presumed == "commit":
            self._force(self._record("collecting", one, tuple(shares)), lambda: self.ask(one))
        else:
            self.ask(one)

    def next_id(self) -> str:
        """Unique over restarts: the incarnation was made durable before the first use."""
        self._numbers += 1
        return f"{self._name}.{self._state.incarnation}.{self._numbers}"

    def ask(self, one: Transaction) -> None:
        """Send every question at once."""
        for node in one.shares:
            self._send(node, self.question(one, node))

    def question(self, one: Transaction, node: str) -> Prepare:
        """What one participant is asked."""
        return replace(one.shares[node], tx=one.tx)

    def on_vote(self, node: str, vote: Vote, now: float) -> None:
        """Count it; decide as soon as nothing that may come can change the decision."""
        self._now = now
        one = self.active.get(vote.tx)
        if one is None or one.commit is not None or node not in one.shares:
            return
        one.votes[node] = vote
        self.consider(one)

    def consider(self, one: Transaction) -> None:
        """One no is enough to abort; to commit takes everybody's yes."""
        if any(vote.says in ("no", "done") for vote in one.votes.values()):
            self.abort(one)
        elif len(one.votes) == len(one.shares):
            self.commit(one)

    # The decision

    def commit(self, one: Transaction) -> None:
        """Decide to commit: it is decided when it is on the disk. Where nobody has anything to change, nothing is decided."""
        one.commit = True
        writers = tuple(node for node, vote in one.votes.items() if vote.says == "yes")
        if writers:
            self.log_commit(self._record("commit", one, writers), lambda: self.announce(one, writers))
        else:
            self.announce(one, ())

    def log_commit(self, record: Record, then: Callable[[], None]) -> None:
        """Force the decision."""
        self._force(record, then)

    def abort(self, one: Transaction) -> None:
        """Decide to abort; only with presumed commit is that worth remembering. Whoever refused has aborted by himself."""
        one.commit = False
        concerned = tuple(node for node in one.shares if node not in one.votes or one.votes[node].says == "yes")
        remembered = concerned if self._config.acknowledged(False) else ()
        self._note(self._record("abort", one, remembered))
        self.announce(one, concerned)

    def announce(self, one: Transaction, concerned: tuple[str, ...]) -> None:
        """Tell the participants and the client."""
        one.decided = True
        acknowledged = self._config.acknowledged(one.commit is True)
        one.unacked = list(concerned) if acknowledged else []
        one.due = self._now + self._config.resend_ms / 1000
        for node in concerned:
            self._send(node, Decision(tx=one.tx, operation=one.operation, commit=one.commit is True))
        self.answer(one)
        self.forget_if_known(one)

    def answer(self, one: Transaction) -> None:
        """Tell the clients that wait."""
        for token in one.waiting:
            self._respond(token, _answer(one))
        one.waiting = []

    def forget_if_known(self, one: Transaction) -> None:
        """All who must know have said that they do."""
        if not one.unacked:
            self.active.pop(one.tx, None)
            self._note({"kind": "end", "tx": one.tx})

    def on_ack(self, node: str, tx: str) -> None:
        """One more who knows."""
        one = self.active.get(tx)
        if one is not None and one.decided and node in one.unacked:
            one.unacked.remove(node)
            self.forget_if_known(one)

    # Again, until everybody knows

    def on_inquire(self, node: str, tx: str) -> None:
        """Answer: the decision, that there is none yet, or what is presumed of the unknown."""
        self._send(node, Outcome(tx=tx, commit=self.outcome(tx)))

    def outcome(self, tx: str) -> bool | None:
        """What is known of a transaction; None: not decided yet."""
        one = self.active.get(tx)
        if one is None:
            return self._config.presumed == "commit"
        return one.commit if one.decided else None

    def may_tell(self, tx: str) -> bool:
        """A decision that is on its way to the disk is none yet: a crash may undo it."""
        return tx not in self.active or self.active[tx].decided

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return min((one.due for one in self.active.values() if one.commit is None or one.decided), default=None)

    def tick(self, now: float) -> None:
        """Abort what waits for votes for too long; send again what was not acknowledged."""
        self._now = now
        for one in [one for one in self.active.values() if one.due <= now]:
            if one.commit is None:
                self.give_up(one)
            elif one.decided:
                self.resend(one, one.unacked)

    def give_up(self, one: Transaction) -> None:
        """Votes are missing, and it is too late."""
        self.abort(one)

    def connected(self, peer: str, now: float) -> None:
        """A participant can be reached again: tell it at once."""
        self._now = now
        for one in [one for one in self.active.values() if one.decided and peer in one.unacked]:
            self.resend(one, [peer])

    def resend(self, one: Transaction, nodes: list[str]) -> None:
        """Send the decision once more."""
        one.due = self._now + self._config.resend_ms / 1000
        for node in list(nodes):
            self._send(node, Decision(tx=one.tx, operation=one.operation, commit=one.commit is True))

    # Records

    def _record(self, kind: str, one: Transaction, participants: tuple[str, ...]) -> Record:
        """`participants` must hear of the decision; `enlisted`, for reports: whose yes was counted, or who was asked in vain."""
        enlisted = participants if kind == "commit" else tuple(one.shares)
        parts = {"participants": list(participants), "enlisted": list(enlisted)}
        return {"kind": kind, "tx": one.tx, "operation": one.operation, **parts}

    def _force(self, record: Record, then: Callable[[], None]) -> None:
        self._state.apply(record)
        self._journal.force(record, then)

    def _note(self, record: Record) -> None:
        self._state.apply(record)
        self._journal.note(record)


def _answer(one: Transaction) -> Answer:
    """What the client hears: done (now, or earlier under this key), or surely not done by this transaction, and why."""
    votes = one.votes
    if one.commit or any(vote.says == "done" for vote in votes.values()):
        return {"status": "ok", "value": {account: money for vote in votes.values() for account, money in vote.values.items()}}
    for node, vote in votes.items():
        if vote.says == "no":
            return {"status": _STATUS.get(vote.reason, "aborted"), "reason": f"{node} votes no: {vote.reason}"}
    missing = ", ".join(node for node in one.shares if node not in votes)
    return {"status": "aborted", "reason": f"no vote from {missing} in time"}
