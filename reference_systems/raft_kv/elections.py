"""How a server gets and gives votes: elections, pre-vote, and when it heeds neither. Pure.

Pre-vote (thesis §9.6): a server asks first whether it would be elected, and takes a new term only when a majority says so;
one that was cut off disturbs nobody when it returns. A server that hears a leader votes for nobody else (§4.2.3), unless
that leader itself handed over (§3.10): this, too, is what leases stand on (§6.4.1).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.messages import PreVote, PreVoteOk, Vote, VoteOk
from reference_systems.raft_kv.replica import Replica, Stored
from reference_systems.raft_kv.voters import Voters

__all__ = ["Elections", "Role"]


class Role(StrEnum):
    """What a server is."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Elections:
    """The part of a server that is about who leads; `core.Raft` is the whole.

    Args:
        name: This server.
        nodes: All servers, itself included; the first `config.voters` of them vote from the start.
        config: Timeouts and sizes.
        rng: Draws election timeouts.
        stored: What it found on its disk.
        now: Monotonic seconds.
    """

    replica_type: type[Replica] = Replica

    def __init__(
        self, *, name: str, nodes: Sequence[str], config: Config, rng: random.Random, stored: Stored, now: float
    ) -> None:
        self.name = name
        self.peers = tuple(node for node in nodes if node != name)
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.replica = self.replica_type(stored, Voters(tuple(nodes)[: int(config.voters) or None]))
        self._config = config
        self._rng = rng
        self._votes: dict[str, bool] = {}
        self._trying = False  # a candidate that only asks whether it would be elected
        self._handed_over = False
        # Who had a leader before a crash may be part of its lease.
        self._heard_leader = now if self.replica.term and config.lease_ms else float("-inf")
        self._election_due = now + rng.uniform(*(config.election_s if self.replica.term else config.first_election_s))

    @property
    def term(self) -> int:
        """The current term."""
        return self.replica.term

    def _await_leader(self, now: float) -> None:
        self._election_due = now + self._timeout_s()

    def _timeout_s(self) -> float:
        return self._rng.uniform(*self._config.election_s)

    def _may_campaign(self) -> bool:
        """Not when it surely does not vote any more (or yet). One whose removal is not committed may be needed (§4.2.2)."""
        return self.name in self.replica.voters.names or self.replica.voters_index > self.replica.commit

    def _campaign(self, now: float, *, handed_over: bool = False) -> None:
        """Ask for votes, or first whether there would be enough."""
        self.role, self.leader, self._handed_over = Role.CANDIDATE, None, handed_over
        if handed_over or not self._config.pre_vote:
            self._elect(now)
            return
        self._trying, self._votes = True, {}
        self._await_leader(now)
        for peer in self._electors:
            self._ask_vote(peer)
        self._count_votes(now)

    @property
    def _electors(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.replica.voters.names if peer != self.name)

    def _ask_vote(self, peer: str) -> None:
        log = self.replica.log
        if self._trying:
            ask: PreVote | Vote = PreVote(term=self.term, last_index=log.last_index, last_term=log.last_term)
        else:
            ask = Vote(term=self.term, last_index=log.last_index, last_term=log.last_term, handed_over=self._handed_over)
        self.replica.send_when_term_durable(peer, ask)

    def _hears_leader(self, now: float) -> bool:
        """A leader spoke less than the shortest election timeout ago; or it is the leader itself."""
        return self.role is Role.LEADER or now - self._heard_leader < self._config.election_s[0]

    def _ignores(self, message: object, now: float) -> bool:
        """A candidate's question that must not even change the term. One of the own term, too: somebody else's message may have
        raised that since the leader was heard, whose lease lasts."""
        return isinstance(message, Vote) and bool(self._config.pre_vote) and not message.handed_over and self._hears_leader(now)

    def _on_pre_vote(self, candidate: str, ask: PreVote, now: float) -> None:
        granted = ask.term == self.term and self._up_to_date(ask) and not self._hears_leader(now)
        self.replica.send_when_term_durable(candidate, PreVoteOk(term=self.term, granted=granted))

    def _on_vote(self, candidate: str, ask: Vote, now: float) -> None:
        """Grant one vote per term, and only to a log at least as up to date as ours (§5.4.1)."""
        replica = self.replica
        granted = ask.term == self.term and self._up_to_date(ask) and self._may_vote_for(candidate)
        if granted:
            if not replica.vote:
                replica.set_term(self.term, candidate)
            self._await_leader(now)
        replica.send_when_durable(candidate, VoteOk(term=self.term, granted=granted))

    def _up_to_date(self, ask: Vote | PreVote) -> bool:
        log = self.replica.log
        return (ask.last_term, ask.last_index) >= (log.last_term, log.last_index)

    def _may_vote_for(self, candidate: str) -> bool:
        return self.replica.vote in ("", candidate)

    def _on_vote_ok(self, sender: str, reply: VoteOk | PreVoteOk, now: float) -> None:
        if self.role is Role.CANDIDATE and reply.granted and self._trying == isinstance(reply, PreVoteOk):
            self._votes[sender] = True
            self._count_votes(now)

    def _count_votes(self, now: float) -> None:
        """The own vote counts when it is durable."""
        own = [self.name] if self._trying or self.replica.durable >= self.replica.hard_written else []
        if not self.replica.voters.are_majority([*self._votes, *own]):
            return
        if self._trying:
            self._elect(now)
        else:
            self._lead(now)

    def _elect(self, now: float) -> None:
        """Take a new term and ask in earnest."""
        self._trying, self._votes = False, {}
        self._await_leader(now)
        self.replica.set_term(self.term + 1, self.name)
        for peer in self._electors:
            self._ask_vote(peer)

    def _lead(self, now: float) -> None:
        raise AssertionError("the whole server leads")
