"""The two-phase commit coordinator that lessons draw, with what is wrong in it: a mutant, for the tests that show each defect.

It asks one participant after the other, and commits at one after the other, so that N participants cost 4N delays; it writes
no decision down; it never gives up; it counts the messages that it sends, 2N, not the 4N on the wire, and the characters of
their JSON, not their bytes; it never resets these counts, and does not count what an abort costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_systems.payments_2pc.coordinator import Coordinator, Transaction
from reference_systems.payments_2pc.core import Payments
from reference_systems.payments_2pc.journal import Record
from reference_systems.payments_2pc.messages import Decision, Message, Vote, to_frame

__all__ = ["SourceCoordinator", "SourcePayments"]


class SourceCoordinator(Coordinator):
    """One participant at a time."""

    claimed_messages = 0
    """What it believes to have sent, over all transactions; only committed ones count."""
    claimed_bytes = 0
    """The characters of that."""

    def ask(self, one: Transaction) -> None:
        """The next question, when the one before was answered."""
        node = next(node for node in one.shares if node not in one.votes)
        self._send(node, self.question(one, node))

    def on_vote(self, node: str, vote: Vote, now: float) -> None:
        """Ask the next while all say yes."""
        super().on_vote(node, vote, now)
        one = self.active.get(vote.tx)
        if one is not None and one.commit is None:
            self.ask(one)

    def log_commit(self, record: Record, then: Callable[[], None]) -> None:
        """Nothing is written down."""
        self._state.apply(record)
        then()

    def announce(self, one: Transaction, concerned: tuple[str, ...]) -> None:
        """A commit is told to the next participant when the one before has acknowledged it; then the client hears of it."""
        if not one.commit:
            super().announce(one, tuple(node for node in concerned if node in one.votes))
            return
        one.decided, one.due, one.unacked = True, float("inf"), list(concerned)
        for node in concerned:
            self._claim(self.question(one, node))
            self._claim(Decision(tx=one.tx, commit=True))
        self._commit_next(one)

    def _claim(self, message: Message) -> None:
        self.claimed_messages += 1
        self.claimed_bytes += len(to_frame(message, 0).body)

    def _commit_next(self, one: Transaction) -> None:
        if one.unacked:
            self._send(one.unacked[0], Decision(tx=one.tx, operation=one.operation, commit=True))
        else:
            super().announce(one, ())

    def on_ack(self, node: str, tx: str) -> None:
        """Commit at the next."""
        one = self.active.get(tx)
        if one is not None and one.decided and one.unacked[:1] == [node]:
            del one.unacked[0]
            self._commit_next(one)

    def give_up(self, one: Transaction) -> None:
        """Never."""
        one.due = float("inf")


class SourcePayments(Payments):
    """A node with that coordinator; its status has what the coordinator believes to have cost."""

    coordinators = SourceCoordinator

    def status(self, now: float) -> dict[str, Any]:
        """With `claimed_messages` and `claimed_bytes`."""
        one = self.coordinator
        assert isinstance(one, SourceCoordinator)
        return {**super().status(now), "claimed_messages": one.claimed_messages, "claimed_bytes": one.claimed_bytes}
