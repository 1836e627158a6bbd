"""How a leader knows that it still leads: rounds for reads, leases, check quorum; and how it hands over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.messages import ReadIndex, TimeoutNow
from reference_systems.raft_kv.progress import Progress
from reference_systems.raft_kv.replica import Replica

__all__ = ["Authority"]


class Authority:
    """The part of a leader that is about being the leader; `leadership.Leadership` is the whole.

    Attributes:
        answered: Reads that may be answered now.
        successor: Whom it hands over to; None: nobody. It takes no proposals meanwhile.
    """

    def __init__(self, replica: Replica, config: Config, name: str, peers: Sequence[str], now: float) -> None:
        self._name = name
        self._replica = replica
        self._config = config
        self._retry_s = config.election_s[1]
        self.progress = {peer: Progress(replica.log.last_index + 1, now, self._retry_s) for peer in peers}
        self.first_index = replica.log.last_index + 1
        self.answered: list[int] = []
        self.successor: str | None = None
        self._waiting: list[tuple[int, int]] = []
        self._asked: list[tuple[int, int]] = []
        self._asked_round = 0
        self._round = 0
        self._begun: dict[int, float] = {}  # round -> when its heartbeats were sent
        self._lease_from = float("-inf")
        self._hand_over_until = 0.0
        self._leases = config.lease_s > 0

    def heard(self, peer: str, round_: int, now: float) -> None:
        """Any answer of this term proves that the peer followed us when it sent it."""
        progress = self.progress[peer]
        progress.heard = now
        if round_ > progress.round:
            progress.round = round_
            self._extend_lease()
            self._finish_round()

    def lost_quorum(self, now: float) -> bool:
        """No majority (self included) was heard for an election timeout (check quorum, thesis §6.2)."""
        since = now - self._config.election_s[1]
        recent = [peer for peer, progress in self.progress.items() if progress.heard >= since]
        return not self._replica.voters.are_majority([self._name, *recent])

    def forgive(self, now: float) -> None:
        """This server itself did not run for a while: what it did not hear then proves nothing."""
        for progress in self.progress.values():
            progress.heard = now

    # Reads

    def read(self, token: int, operation: int) -> None:
        """Ask for a linearizable read; the token turns up in `answered` when the state may be read."""
        self._waiting.append((token, operation))
        self._next_round()

    def _next_round(self) -> None:
        """Start a round for all who wait."""
        if self._asked or not self._waiting or not self._may_read():
            return
        self._asked, self._waiting = self._waiting, []
        self._round += 1
        self._asked_round = self._round
        operations = tuple(dict.fromkeys(operation for _, operation in self._asked if operation))
        for peer in self.progress:
            if peer in self._replica.voters.names:
                self._replica.send(peer, ReadIndex(term=self._replica.term, round=self._round, operations=operations))
        self._finish_round()

    def _may_read(self) -> bool:
        """Not before an entry of this term is committed: until then the commit index may lie behind what an
        earlier leader acknowledged (§8; thesis §6.4)."""
        return self._replica.commit >= self.first_index

    def _finish_round(self) -> None:
        confirmed = [peer for peer, progress in self.progress.items() if progress.round >= self._asked_round]
        if self._asked and self._replica.voters.are_majority([self._name, *confirmed]):
            self.answered.extend(token for token, _ in self._asked)
            self._asked = []
            self._next_round()

    # Leases (thesis §6.4.1)

    def _begin_lease(self, now: float) -> None:
        """A round of heartbeats is sent: what a majority confirms of it is a lease from now on."""
        if self._leases:
            self._round += 1
            self._begun[self._round] = now

    def _extend_lease(self) -> None:
        rounds = {peer: progress.round for peer, progress in self.progress.items()}
        confirmed = self._replica.voters.held({self._name: self._round, **rounds})
        for round_ in [begun for begun in self._begun if begun <= confirmed]:
            self._lease_from = self._begun.pop(round_)

    def holds_lease(self, now: float) -> bool:
        """Nobody else can lead: a majority heard a heartbeat that was sent less than `lease_ms` ago, and votes for nobody
        for longer than that, by clocks whose rates differ by less than `lease_drift`."""
        return self._leases and self._may_read() and now - self._lease_from < self._config.lease_s

    # Handing over (thesis §3.10)

    def hand_over(self, successor: str, now: float) -> bool:
        """Take no more proposals, and let the voter campaign as soon as it has the whole log; False: it is none, or this one."""
        if successor not in self.progress or successor not in self._replica.voters.names:
            return False
        self.successor, self._hand_over_until = successor, now + self._config.election_s[1]
        self._leases = False  # for good: the successor may be elected at any later time
        self._hand_over_if_ready()
        return True

    def _hand_over_if_ready(self) -> None:
        last_index = self._replica.log.last_index
        if self.successor and self.progress[self.successor].match == last_index:
            self._replica.send(self.successor, TimeoutNow(term=self._replica.term, last_index=last_index))

    def _give_up_handing_over(self, now: float) -> None:
        if self.successor and now >= self._hand_over_until:
            self.successor = None
