"""The participant of two-phase commit: locks, votes, promises. Pure.

Bernstein, Hadzilacos, Goodman 1987, §7.4: it may say no until it has said yes; from then on it is bound, and in doubt
until it hears the decision. What it promised is on the disk before the vote leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_systems.payments_2pc.config import Config
from reference_systems.payments_2pc.journal import Journal, Record
from reference_systems.payments_2pc.locks import Locks
from reference_systems.payments_2pc.messages import Ack, Decision, Inquire, Message, Prepare, Vote, coordinator_of, place_of
from reference_systems.payments_2pc.state import State

__all__ = ["Participant"]

Send = Callable[[str, Message], None]


class Participant:
    """One node's share of the accounts.

    Args:
        state: What the node remembers; recovered promises get their locks back here.
        journal: Where records go.
        send: Called with (node, message).
        config: Times and options.
        now: Monotonic seconds, as in every call.
    """

    def __init__(self, state: State, journal: Journal, send: Send, config: Config, now: float) -> None:
        self.locks = Locks()
        self.votes: dict[str, str] = {}
        """Transaction -> what was said; a "no" is not durable."""
        self._state = state
        self._journal = journal
        self._send = send
        self._config = config
        self._inquire_s = config.inquire_ms / 1000
        self._since: dict[str, float] = {}
        self._inquiry_due: dict[str, float] = {}
        for tx, promise in state.prepared.items():
            self._bind(tx, [account for account, _ in promise.legs], promise.reads, now)
            self._inquiry_due[tx] = now

    # Phase one

    def on_prepare(self, coordinator: str, ask: Prepare, now: float) -> None:
        """Vote."""
        if ask.tx in self._state.prepared:  # it came twice; the first vote may still wait for the disk
            self._journal.after(lambda: self._vote(coordinator, ask, "yes"))
        elif refusal := self.refusal(ask):
            says, reason = refusal
            self._vote(coordinator, ask, says, reason)
        elif self.changes_nothing(ask):
            self._vote(coordinator, ask, "read-only")
        else:
            self.promise(coordinator, ask, now)

    def refusal(self, ask: Prepare) -> tuple[str, str] | None:
        """What is said instead of yes, and why; None: nothing stands in the way."""
        if self.is_over(ask.tx):
            return "no", "over"
        if self.was_charged(ask):
            return ("done", "") if self._state.charges[str(ask.key)][1] == ask.legs else ("no", "key")
        if ask.key is not None and any(promise.key == ask.key for promise in self._state.prepared.values()):
            return "no", "busy"  # whether it is charged is not decided yet
        blocker = self.locks.blocker(writes=[account for account, _ in ask.legs], reads=ask.reads)
        if blocker is not None:
            return "no", "busy"
        if any(account not in self._state.balances for account in (*ask.reads, *(account for account, _ in ask.legs))):
            return "no", "account"
        if any(amount < 0 and self._state.balances[account] + amount < 0 for account, amount in ask.legs):
            return "no", "insufficient"
        return None

    def was_charged(self, ask: Prepare) -> bool:
        """This idempotency key was applied here, by another transaction."""
        return ask.key in self._state.charges

    def is_over(self, tx: str) -> bool:
        """Already decided here, aborted before it came, or older than what is remembered: too late to begin."""
        known = tx in self._state.finished or self.votes.get(tx) == "no"
        return known or place_of(tx) <= self._state.floors.get(coordinator_of(tx), (0, 0))

    def changes_nothing(self, ask: Prepare) -> bool:
        """Whether the read-only vote is right. Reads beside other participants must keep their locks: the work travels with
        the question, so that others may not have begun theirs, and letting go now would not be two-phase."""
        return self._config.read_only and all(amount == 0 for _, amount in ask.legs) and (ask.sole or not ask.reads)

    def promise(self, coordinator: str, ask: Prepare, now: float) -> None:
        """Lock, write it down, then say yes."""
        self._bind(ask.tx, [account for account, _ in ask.legs], ask.reads, now)
        record = {
            "kind": "prepared",
            "tx": ask.tx,
            "operation": ask.operation,
            "key": ask.key,
            "legs": ask.legs,
            "reads": ask.reads,
        }
        self.log_promise(record, lambda: self._vote(coordinator, ask, "yes"))

    def log_promise(self, record: Record, then: Callable[[], None]) -> None:
        """Force the promise."""
        self._force(record, then)

    def _bind(self, tx: str, writes: list[str], reads: tuple[str, ...], now: float) -> None:
        self.locks.acquire(tx, writes=writes, reads=reads)
        self._since[tx] = now
        self._inquiry_due[tx] = now + self._inquire_s

    def _vote(self, coordinator: str, ask: Prepare, says: str, reason: str = "") -> None:
        self.votes[ask.tx] = says
        while len(self.votes) > self._config.remembered:
            del self.votes[next(iter(self.votes))]
        agreed = says in ("yes", "read-only")
        values = {account: self._state.balances[account] for account in ask.reads} if agreed else {}
        self._send(coordinator, Vote(tx=ask.tx, operation=ask.operation, says=says, reason=reason, values=values))

    # Phase two

    def on_decision(self, coordinator: str, decision: Decision) -> None:
        """Do what was decided, once; acknowledge it when it is durable, if this decision is acknowledged at all."""
        tx, commit = decision.tx, decision.commit
        acknowledged = self._config.acknowledged(commit)
        if tx in self._state.prepared or (tx not in self._state.finished and not commit):
            self.conclude(tx, commit, forced=acknowledged)
        if acknowledged:
            self._journal.after(lambda: self._send(coordinator, Ack(tx=tx, operation=decision.operation)))

    def conclude(self, tx: str, commit: bool, *, forced: bool) -> None:
        """Apply the decision and let go of the locks. An abort of what never came is remembered: it cannot begin later."""
        record = {"kind": "decided", "tx": tx, "commit": commit}
        if forced:
            self._force(record, lambda: None)
        else:
            self._state.apply(record)
            self._journal.note(record)
        self.locks.release(tx)
        self._since.pop(tx, None)
        self._inquiry_due.pop(tx, None)

    def _force(self, record: Record, then: Callable[[], None]) -> None:
        self._state.apply(record)
        self._journal.force(record, then)

    # In doubt

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return min(self._inquiry_due.values(), default=None)

    def tick(self, now: float) -> None:
        """Ask again about what is in doubt for long."""
        for tx in [tx for tx, due in self._inquiry_due.items() if due <= now]:
            self.inquire(tx, now)

    def connected(self, peer: str, now: float) -> None:
        """A coordinator can be reached again: ask at once."""
        for tx in [tx for tx in self._since if coordinator_of(tx) == peer]:
            self.inquire(tx, now)

    def inquire(self, tx: str, now: float) -> None:
        """Ask the coordinator; nobody else can know."""
        self._inquiry_due[tx] = now + self._inquire_s
        self._send(coordinator_of(tx), Inquire(tx=tx))

    def in_doubt(self, now: float) -> dict[str, float]:
        """Promises that wait for a decision: transaction -> seconds."""
        return {tx: round(now - since, 3) for tx, since in self._since.items()}

    def report(self) -> dict[str, Any]:
        """What this participant decided and said."""
        words = {True: "commit", False: "abort"}
        votes = {**self.votes, **dict.fromkeys(self._state.prepared, "yes")}
        return {"decided": {tx: words[commit] for tx, commit in self._state.finished.items()}, "votes": votes}
