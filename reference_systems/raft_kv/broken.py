"""The store with one bug each: nodes for `mutants.py`, and nobody else's. The healthy `node.main` reaches none of them."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

from reference_systems.kit.env import Env
from reference_systems.raft_kv.core import Raft, Role
from reference_systems.raft_kv.leadership import Leadership
from reference_systems.raft_kv.log import Snapshot
from reference_systems.raft_kv.messages import Append, AppendOk, Entry, Message, PreVote, Vote
from reference_systems.raft_kv.node import RaftNode, serve
from reference_systems.raft_kv.progress import Progress
from reference_systems.raft_kv.replica import HardState, Replica
from reference_systems.raft_kv.state_machine import StateMachine
from reference_systems.raft_kv.voters import Voters

__all__ = ["NODES", "main"]


class _UnwaryReplica(Replica):
    """Lets committed entries be overwritten: the healthy server's own assertion would end the node."""

    def _guard(self, first: int) -> None:
        pass


class _Unwary(Raft):
    """The same, and it does not mind that somebody else leads its term."""

    replica_type: type[Replica] = _UnwaryReplica

    def _meet(self, leader: str, term: int) -> None:
        pass


class _VoteForgottenReplica(_UnwaryReplica):
    def _hard_state(self) -> HardState:
        return HardState(term=self.term, vote="")


class VoteForgotten(_Unwary):
    """R1: the vote is not durable."""

    replica_type = _VoteForgottenReplica


class _TermForgottenReplica(_UnwaryReplica):
    def _hard_state(self) -> HardState:
        return HardState(term=0, vote="")


class TermForgotten(_Unwary):
    """R2: neither term nor vote is durable."""

    replica_type = _TermForgottenReplica


class AnyLogWins(_Unwary):
    """R3: votes for a candidate whose log misses entries."""

    def _up_to_date(self, ask: Vote | PreVote) -> bool:
        return True


class _CountsOldEntriesLeadership(Leadership):
    def _may_commit(self, index: int) -> bool:
        return True


class CountsOldEntries(_Unwary):
    """R4: commits entries of earlier terms by counting."""

    leadership_type = _CountsOldEntriesLeadership


class _ReadsLocallyLeadership(Leadership):
    def read(self, token: int, operation: int) -> None:
        self.answered.append(token)


class ReadsLocally(Raft):
    """R5: a leader answers reads without asking whether it still leads."""

    leadership_type = _ReadsLocallyLeadership


class _LateLeaseLeadership(Leadership):
    def heard(self, peer: str, round_: int, now: float) -> None:
        before = self._lease_from
        super().heard(peer, round_, now)
        if self._lease_from != before:
            self._lease_from = now


class LateLease(Raft):
    """R6: a lease counts from when a majority's answers were read, not from when they were asked."""

    leadership_type = _LateLeaseLeadership


class MajorityOfReachable(_Unwary):
    """R7: whoever was not heard for an election timeout does not count."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._heard: dict[str, float] = {}

    def receive(self, sender: str, message: Message, now: float) -> None:
        self._heard[sender] = now
        super().receive(sender, message, now)

    def tick(self, now: float) -> None:
        reachable = (peer for peer in self.peers if now - self._heard.get(peer, now) <= self._config.election_s[1])
        self.replica.voters = Voters((self.name, *reachable))
        super().tick(now)


class _AnswersBeforeSyncReplica(_UnwaryReplica):
    def send_when_durable(self, peer: str, message: Message) -> None:
        self.send(peer, message)

    def append(self, first: int, entries: tuple[Entry, ...]) -> None:
        super().append(first, entries)
        self.durable_index = self.log.last_index


class AnswersBeforeSync(_Unwary):
    """R8: acknowledges entries and votes before they are on its disk."""

    replica_type = _AnswersBeforeSyncReplica


class _CommitsAloneLeadership(Leadership):
    def advance(self) -> None:
        self._replica.commit = self._replica.log.last_index
        self._next_round()


class CommitsAlone(_Unwary):
    """R9: an entry counts as committed as soon as the leader has it."""

    leadership_type = _CommitsAloneLeadership


class NoSessions(StateMachine):
    """R10: a command that comes again is done again."""

    def _apply_once(self, command: dict[str, Any]) -> dict[str, Any]:
        return self._perform(command)


class NoConsistencyCheck(_Unwary):
    """R11: a follower takes entries whatever stands before them."""

    def _accept(self, message: Append) -> AppendOk:
        log = self.replica.log
        prev = max(log.base_index, min(message.prev_index, log.last_index))
        forced = dataclasses.replace(message, prev_index=prev, prev_term=log.term_at(prev) or 0)
        reply = super()._accept(forced)
        return dataclasses.replace(reply, match=message.prev_index + len(message.entries))


class AppendTruncates(_Unwary):
    """R12: every append cuts the log after the entries it brings."""

    def _accept(self, message: Append) -> AppendOk:
        log, last = self.replica.log, message.prev_index + len(message.entries)
        if log.term_at(message.prev_index) == message.prev_term and log.base_index < last < log.last_index:
            self.replica.append(last + 1, ())
        return super()._accept(message)


class _ReadsEarlyLeadership(Leadership):
    def _may_read(self) -> bool:
        return True


class ReadsEarly(Raft):
    """R13: a new leader answers reads before an entry of its term is committed."""

    leadership_type = _ReadsEarlyLeadership


class _NeverDoubtsLeadership(Leadership):
    def lost_quorum(self, now: float) -> bool:
        return False


class NeverStepsDown(Raft):
    """R14: a leader does not mind a higher term."""

    leadership_type = _NeverDoubtsLeadership

    def receive(self, sender: str, message: Message, now: float) -> None:
        if self.role is not Role.LEADER or message.term <= self.term:
            super().receive(sender, message, now)


class ManyVotes(_Unwary):
    """R15: votes for every candidate of a term."""

    def _may_vote_for(self, candidate: str) -> bool:
        return True


class SnapshotTooFar(_Unwary):
    """R16: a snapshot is taken for one that covers an entry more."""

    def _install(self, snapshot: Snapshot) -> None:
        super()._install(dataclasses.replace(snapshot, index=snapshot.index + 1))


class _ChangesAtOnceLeadership(Leadership):
    def _one_step(self, names: tuple[str, ...]) -> bool:
        return True


class ChangesAtOnce(_Unwary):
    """R17: any set of voters may follow any other."""

    leadership_type = _ChangesAtOnceLeadership


class FixedTimeout(Raft):
    """R18: every server waits for a leader equally long."""

    def _timeout_s(self) -> float:
        return self._config.election_s[0]


class _NeverBacksOffLeadership(Leadership):
    def _back_off(self, progress: Progress, prev: int, reply: AppendOk) -> int:
        return prev + 1


class NeverBacksOff(Raft):
    """R19: after a refusal the same append is sent again."""

    leadership_type = _NeverBacksOffLeadership


class _NoSessionsNode(RaftNode):
    machine_type = NoSessions


class WallClockNode(RaftNode):
    """R20: leases and timeouts count on a clock that may step."""

    def _now(self) -> float:
        return self._env.clock.wall()


def _node(raft: type[Raft]) -> type[RaftNode]:
    return type("BrokenNode", (RaftNode,), {"raft_type": raft})


NODES = MappingProxyType(
    {
        "R1": _node(VoteForgotten),
        "R2": _node(TermForgotten),
        "R3": _node(AnyLogWins),
        "R4": _node(CountsOldEntries),
        "R5": _node(ReadsLocally),
        "R6": _node(LateLease),
        "R7": _node(MajorityOfReachable),
        "R8": _node(AnswersBeforeSync),
        "R9": _node(CommitsAlone),
        "R10": _NoSessionsNode,
        "R11": _node(NoConsistencyCheck),
        "R12": _node(AppendTruncates),
        "R13": _node(ReadsEarly),
        "R14": _node(NeverStepsDown),
        "R15": _node(ManyVotes),
        "R16": _node(SnapshotTooFar),
        "R17": _node(ChangesAtOnce),
        "R18": _node(FixedTimeout),
        "R19": _node(NeverBacksOff),
        "R20": WallClockNode,
    }
)
"""Mutant -> the class of its nodes."""


async def main(env: Env) -> None:
    """A node of the mutant that the option `mutant` names."""
    options = {name: value for name, value in env.options.items() if name != "mutant"}
    await serve(dataclasses.replace(env, options=options), NODES[env.options["mutant"]])
