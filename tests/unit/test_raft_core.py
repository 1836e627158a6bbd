"""What Raft promises step by step: costs, reads, elections, the log, snapshots."""

from __future__ import annotations

import random

import pytest

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.core import Raft, Role
from reference_systems.raft_kv.messages import Append, AppendOk, Entry, Heartbeat, PreVote, SnapshotChunk, Vote, VoteOk
from reference_systems.raft_kv.replica import HardState, Stored
from reference_systems.raft_kv.wire import to_frame
from tests.unit.raft_model import Model, settled_leader


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_put_costs_two_messages_per_follower(count: int) -> None:
    """The floor: 2(n-1) foreground messages, and each names the operation."""
    model = Model(count, seed=1)
    leader = settled_leader(model)
    index = model.propose(leader, {"f": "register"})
    model.run(0.3)
    model.sent.clear()
    command = {"f": "put", "key": "x", "value": 1, "session": index, "number": 1}
    model.propose(leader, command, operation=77)
    model.run(0.5)
    frames = [to_frame(message, 1) for _, _, message in model.sent]
    foreground = [frame for frame in frames if frame.kind in (1, 2, 7, 8, 9, 10)]
    assert len(foreground) == 2 * (count - 1)
    assert all(frame.operations == (77,) for frame in foreground)


def test_puts_that_come_while_an_append_is_in_flight_share_the_next_one() -> None:
    """Natural batching: k writes at once cost two exchanges per follower, not k."""
    model = Model(3, seed=2, config=Config())
    leader = settled_leader(model)
    model.sent.clear()
    for operation in range(1, 65):
        model.propose(leader, {"f": "register"}, operation=operation)
    model.run(0.5)
    appends = [to_frame(m, 1) for _, _, m in model.sent if type(m).__name__ == "Append"]
    assert len(appends) == 4
    assert sorted(op for frame in appends for op in frame.operations) == sorted([*range(1, 65), *range(1, 65)])


def test_a_read_costs_one_confirmation_round() -> None:
    """ReadIndex: 2(n-1) messages that name the operation, no log entry."""
    model = Model(3, seed=3)
    leader = settled_leader(model)
    model.sent.clear()
    last = leader.raft.replica.log.last_index
    answered: list[str | None] = []
    model.reads[leader.name, 1] = answered.append
    assert leader.raft.read(1, 55)
    model.settle(leader)
    assert answered == []
    assert model.run(1, lambda: bool(answered))
    model.run(0.1)
    rounds = [to_frame(m, 1) for _, _, m in model.sent if type(m).__name__ in ("ReadIndex", "ReadIndexOk")]
    assert [frame.operations for frame in rounds] == [(55,)] * 4
    assert leader.raft.replica.log.last_index == last


def test_a_leader_without_a_majority_answers_no_read_and_steps_down() -> None:
    """An isolated leader cannot confirm itself; after an election timeout it says so."""
    model = Model(3, seed=4)
    leader = settled_leader(model)
    model.isolate([[leader.name], [name for name in model.names if name != leader.name]])
    answered: list[str | None] = []
    model.reads[leader.name, 1] = answered.append
    leader.raft.read(1, 5)
    model.settle(leader)
    assert model.run(0.5, lambda: leader.raft.role is not Role.LEADER), "the leader never noticed"
    model.run(1)
    assert answered == []


def test_no_read_before_the_term_has_committed_an_entry() -> None:
    """A new leader may not know yet what its predecessor acknowledged (thesis §6.4)."""
    model = Model(3, seed=5)
    leader = model.elect()
    term = leader.raft.term
    assert leader.raft.replica.commit == 0
    answered: list[int] = []
    model.reads[leader.name, 1] = lambda _: answered.append(leader.raft.replica.commit)
    leader.raft.read(1, 5)
    model.settle(leader)
    assert model.run(1, lambda: bool(answered))
    assert leader.raft.term == term
    assert answered[0] >= 1


def test_a_follower_that_missed_a_compaction_gets_the_snapshot_in_chunks() -> None:
    """A lagging node catches up although the entries it needs are gone; and may lead after that."""
    model = Model(3, seed=6)
    leader = settled_leader(model)
    late = next(name for name in model.names if name != leader.name)
    model.crash(late)
    session = model.propose(leader, {"f": "register"})
    for number in range(1, 61):
        model.propose(leader, {"f": "put", "key": f"k{number}", "value": number, "session": session, "number": number})
        model.run(0.05)
    assert leader.raft.replica.log.base_index > 20
    model.restart(late)
    server = model.servers[late]
    assert model.run(5, lambda: server.raft.applied == leader.raft.applied), "the late node never caught up"
    chunks = [m for _, peer, m in model.sent if peer == late and type(m).__name__ == "SnapshotChunk"]
    assert len({chunk.offset for chunk in chunks}) > 1  # type: ignore[union-attr]
    assert server.machine.dump() == leader.machine.dump()


def test_entries_of_an_earlier_term_are_not_committed_by_counting() -> None:
    """Figure 8: an old entry on a majority is not committed until an entry of the leader's own term is."""
    old = (Entry(term=1, data=b"1"), Entry(term=2, data=b"2"))
    stored = Stored(hard_state=HardState(term=3, vote=""), entries=old)
    raft = Raft(name="n1", nodes=["n1", "n2", "n3"], config=Config(pre_vote=0), rng=random.Random(1), stored=stored, now=0.0)
    raft.tick(0.1)
    raft.tick(0.2)
    raft.tick(0.31)
    raft.became_durable(raft.take_writes()[0], 0.31)
    raft.receive("n2", VoteOk(term=4, granted=True), 0.32)
    assert raft.role is Role.LEADER
    raft.became_durable(raft.take_writes()[0], 0.33)
    append = next(m for peer, m in raft.take_messages() if peer == "n2" and isinstance(m, Append))
    raft.receive("n2", AppendOk(term=4, seq=append.seq, ok=True, match=2), 0.34)
    assert raft.replica.commit == 0
    raft.receive("n2", AppendOk(term=4, seq=append.seq, ok=True, match=3), 0.35)
    assert raft.replica.commit == 3


def test_a_leader_counts_itself_only_when_its_own_disk_has_the_entry() -> None:
    """It sends before its own write is over (thesis §10.2.1); until then two followers are needed, not one."""
    raft = Raft(name="n1", nodes=["n1", "n2", "n3"], config=Config(pre_vote=0), rng=random.Random(1), stored=Stored(), now=0.0)
    raft.tick(0.1)
    raft.tick(0.2)
    raft.tick(0.31)
    raft.became_durable(raft.take_writes()[0], 0.31)
    raft.receive("n2", VoteOk(term=1, granted=True), 0.32)
    assert raft.role is Role.LEADER
    own_write, _ = raft.take_writes()
    seqs = {peer: m.seq for peer, m in raft.take_messages() if isinstance(m, Append)}
    raft.receive("n2", AppendOk(term=1, seq=seqs["n2"], ok=True, match=1), 0.33)
    assert raft.replica.commit == 0
    raft.receive("n3", AppendOk(term=1, seq=seqs["n3"], ok=True, match=1), 0.34)
    assert raft.replica.commit == 1
    raft.became_durable(own_write, 0.35)
    assert raft.replica.commit == 1


def follower_of(entries: tuple[Entry, ...], commit: int = 0) -> Raft:
    """n1, a follower in term 2 with that log."""
    stored = Stored(hard_state=HardState(term=2, vote=""), entries=entries)
    raft = Raft(name="n1", nodes=["n1", "n2", "n3"], config=Config(), rng=random.Random(1), stored=stored, now=0.0)
    raft.receive("n2", Heartbeat(term=2, commit=commit, round=0), 0.0)
    raft.take_messages()
    return raft


ABC = tuple(Entry(term=2, data=text) for text in (b"a", b"b", b"c"))


def test_a_late_append_does_not_take_away_what_a_newer_one_brought() -> None:
    """Only a conflict truncates: a follower may have acknowledged the tail meanwhile."""
    raft = follower_of(ABC)
    raft.receive("n2", Append(term=2, seq=1, prev_index=0, prev_term=0, commit=0, entries=ABC[:1]), 0.0)
    assert raft.replica.log.between(1, 3) == ABC


def test_a_conflicting_tail_is_replaced() -> None:
    """Entries of a deposed leader make room for the ones that were committed."""
    raft = follower_of(ABC)
    new = (Entry(term=3, data=b"B"),)
    raft.receive("n3", Append(term=3, seq=1, prev_index=1, prev_term=2, commit=0, entries=new), 0.0)
    assert raft.replica.log.between(1, raft.replica.log.last_index) == (ABC[0], *new)


def test_an_append_that_does_not_fit_is_refused_with_a_hint() -> None:
    """The log is shorter (next free index), or another term stands there (the first index of it)."""
    raft = follower_of(ABC)
    raft.receive("n2", Append(term=2, seq=7, prev_index=9, prev_term=2, commit=0, entries=ABC[:1]), 0.0)
    raft.receive("n3", Append(term=3, seq=8, prev_index=3, prev_term=3, commit=0, entries=ABC[:1]), 0.0)
    raft.became_durable(raft.take_writes()[0], 0.0)
    hints = [(m.seq, m.ok, m.conflict_term, m.conflict_index) for _, m in raft.take_messages() if isinstance(m, AppendOk)]
    assert hints == [(7, False, 0, 4), (8, False, 2, 1)]


def test_an_append_is_acknowledged_only_when_it_is_durable() -> None:
    """Else a majority that lost its page cache would lose an acknowledged write."""
    raft = follower_of(())
    raft.receive("n2", Append(term=2, seq=1, prev_index=0, prev_term=0, commit=0, entries=ABC), 0.0)
    assert raft.take_messages() == []
    raft.became_durable(raft.take_writes()[0], 0.0)
    assert [getattr(m, "match", None) for _, m in raft.take_messages()] == [3]


def test_a_snapshot_keeps_the_tail_that_follows_it() -> None:
    """Figure 13, step 6: a late snapshot must not drop entries this follower has acknowledged."""
    raft = follower_of(ABC)
    chunk = SnapshotChunk(term=2, seq=1, index=2, last_term=2, offset=0, total=2, data=b"{}")
    raft.receive("n2", chunk, 0.0)
    log = raft.replica.log
    assert (log.base_index, log.between(3, log.last_index)) == (2, ABC[2:])


def test_a_snapshot_that_does_not_fit_the_log_replaces_it() -> None:
    """Figure 13, step 7."""
    raft = follower_of(ABC)
    raft.receive("n2", SnapshotChunk(term=2, seq=1, index=2, last_term=1, offset=0, total=2, data=b"{}"), 0.0)
    log = raft.replica.log
    assert (log.base_index, log.last_index, log.last_term) == (2, 2, 1)


def test_a_higher_term_deposes_a_leader() -> None:
    """Any message of a later term will do."""
    model = Model(3, seed=11)
    leader = settled_leader(model)
    leader.raft.receive("n2" if leader.name != "n2" else "n3", VoteOk(term=99, granted=False), model.now)
    assert (leader.raft.role, leader.raft.term, leader.raft.leader) == (Role.FOLLOWER, 99, None)


def test_a_server_that_slept_does_not_depose_a_healthy_leader() -> None:
    """After SIGSTOP and SIGCONT the first tick comes before the heartbeats that wait in the socket."""
    model = Model(3, seed=8)
    leader = settled_leader(model)
    follower = model.servers[next(name for name in model.names if name != leader.name)]
    term = leader.raft.term
    follower.raft.tick(model.now + 60)
    model.settle(follower)
    assert follower.raft.role is Role.FOLLOWER
    assert follower.raft.term == term


def test_one_server_alone_commits_when_its_own_disk_has_it() -> None:
    """n = 1: the majority is the server itself, durably."""
    model = Model(1, seed=9)
    leader = model.elect()
    index = model.propose(leader, {"f": "register"})
    assert index
    assert leader.raft.replica.commit < index
    assert model.run(1, lambda: leader.raft.replica.commit >= index)


def test_a_vote_is_sent_only_when_it_is_durable() -> None:
    """Else a crash could let a server vote twice in one term."""
    model = Model(3, seed=10)
    server = model.servers["n1"]
    server.raft.receive("n2", Vote(term=5, last_index=0, last_term=0), model.now)
    assert server.raft.take_messages() == []
    number, writes = server.raft.take_writes()
    assert writes == [HardState(term=5, vote=""), HardState(term=5, vote="n2")]
    server.raft.became_durable(number, model.now)
    assert [(peer, getattr(m, "granted", None)) for peer, m in server.raft.take_messages()] == [("n2", True)]


def test_who_hears_a_leader_votes_for_nobody_else_even_when_its_term_was_raised_meanwhile() -> None:
    """Leases stand on it. Only what the leader itself handed over is another matter (thesis §4.2.3, §3.10)."""
    raft = follower_of(())
    raft.receive("n3", Vote(term=9, last_index=9, last_term=9), 0.1)
    assert raft.term == 2
    raft.receive("n3", PreVote(term=3, last_index=9, last_term=9), 0.1)
    raft.receive("n3", Vote(term=3, last_index=9, last_term=9), 0.1)
    assert (raft.term, raft.replica.vote) == (3, "")
    raft.receive("n3", Vote(term=3, last_index=9, last_term=9), 0.16)
    assert (raft.term, raft.replica.vote) == (3, "n3")
    raft = follower_of(())
    raft.receive("n3", Vote(term=3, last_index=9, last_term=9, handed_over=True), 0.1)
    assert (raft.term, raft.replica.vote) == (3, "n3")


def test_after_a_restart_nobody_is_voted_for_while_a_lease_may_last() -> None:
    """It may have heard a leader just before; a node that never had a term has not."""
    for term, voted in ((1, ""), (0, "n3")):
        stored = Stored(hard_state=HardState(term=term, vote=""))
        config = Config(lease_ms=100)
        raft = Raft(name="n1", nodes=["n1", "n2", "n3"], config=config, rng=random.Random(1), stored=stored, now=5.0)
        raft.receive("n3", Vote(term=2, last_index=9, last_term=9), 5.1)
        assert raft.replica.vote == voted


def lease_holder() -> Model:
    """Three servers of exact clocks whose leader holds a lease."""
    model = Model(3, seed=12, config=Config(lease_ms=100, lease_drift=0))
    settled_leader(model)
    return model


def test_a_lease_ends_when_nobody_answers_and_counts_from_when_it_was_asked() -> None:
    """Whatever time passes unnoticed, a pause for example, counts."""
    model = lease_holder()
    leader = model.elect()
    assert leader.raft.holds_lease(model.now)
    assert not leader.raft.holds_lease(model.now + 0.1)
    model.isolate([[name] for name in model.names])
    model.run(0.11)
    assert leader.raft.role is Role.LEADER
    assert not leader.raft.holds_lease(model.now)


def test_a_leader_that_hands_over_gives_up_its_lease_for_good() -> None:
    """The successor may be elected at any later time, while others keep to nobody."""
    model = lease_holder()
    leader = model.elect()
    successor = next(name for name in model.names if name != leader.name)
    model.cut = {(leader.name, successor): True}
    assert leader.raft.hand_over(successor, model.now)
    assert model.run(2, lambda: not leader.raft.handing_over), "it never gave up"
    model.run(0.2)
    assert leader.raft.role is Role.LEADER
    assert not leader.raft.holds_lease(model.now)


def test_members_change_only_after_an_entry_of_the_term_and_the_last_change_are_committed() -> None:
    """Else two leaders could each count a majority of their own (raft-dev, July 2015)."""
    model = Model(5, seed=13, config=Config(voters=3))
    leader = model.elect()
    more = ("n1", "n2", "n3", "n4")
    assert leader.raft.replica.commit == 0
    assert leader.raft.reconfigure(more, 0, model.now) is None
    model.run(0.5)
    with pytest.raises(ValueError, match="is more than one server"):
        leader.raft.reconfigure(("n1", "n4", "n5"), 0, model.now)
    assert leader.raft.reconfigure(more, 0, model.now)
    assert leader.raft.reconfigure((*more, "n5"), 0, model.now) is None
    model.settle(leader)
    model.run(0.5)
    assert leader.raft.reconfigure((*more, "n5"), 0, model.now)


def test_a_server_that_does_not_vote_learns_but_never_campaigns() -> None:
    """Nor does it count for a majority."""
    model = Model(4, seed=14, config=Config(voters=3))
    leader = settled_leader(model)
    learner = model.servers["n4"]
    assert learner.raft.applied == leader.raft.applied
    model.isolate([["n4"], ["n1", "n2", "n3"]])
    model.run(3)
    assert (learner.raft.role, learner.raft.term) == (Role.FOLLOWER, leader.raft.term)
