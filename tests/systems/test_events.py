"""Faults that begin at an event, on real nodes: the relay holds the message that set it off until the fault is in force."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_coordchaos import CapabilityError, Cluster, FaultError, Message, RelayError, Session, Status, UsageError
from pytest_coordchaos.faults.triggers import parse_trigger
from pytest_coordchaos.live_cluster import LiveCluster
from reference_systems.raft_kv.system import system


@pytest.fixture(scope="module")
def raft(session: Session) -> Iterator[Cluster]:
    with session.start(system(nodes=3)) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(raft: Cluster) -> Iterator[None]:
    yield
    raft.heal()
    raft.wait_healed()


def _heartbeats(raft: Cluster, sender: str, receiver: str) -> list[Message]:
    messages = raft.ledger().messages
    return [m for m in messages if (m.message_class, m.sender, m.receiver) == ("heartbeat", sender, receiver)]


def _first_held(messages: list[Message]) -> int:
    return next(number for number, message in enumerate(messages) if message.delivered_ns is None)


def test_the_message_is_held_while_the_block_runs_and_goes_on_afterwards(raft: Cluster) -> None:
    leader = raft.leader()
    follower = next(node for node in raft.nodes if node != leader)
    with raft.when(f"{leader}>heartbeat>{follower}#2"):
        sent = _heartbeats(raft, leader, follower)
        held = _first_held(sent)
        assert held >= 1
        assert all(message.delivered_ns is None for message in sent[held:])
    raft.wait_until(lambda: all(message.delivered_ns for message in _heartbeats(raft, leader, follower)[: len(sent)]))


def test_a_cut_that_is_put_in_force_at_the_message_takes_it(raft: Cluster) -> None:
    leader = raft.leader()
    follower = next(node for node in raft.nodes if node != leader)
    with raft.when(f">heartbeat>{follower}#1"):
        number = _first_held(_heartbeats(raft, leader, follower))
        cut = raft.cut(leader, follower)
    raft.wait_until(lambda: len(_heartbeats(raft, leader, follower)) > number + 2)
    assert _heartbeats(raft, leader, follower)[number].delivered_ns is None
    cut.undo()


def test_an_event_that_does_not_come_is_told_and_what_cannot_come_refused(raft: Cluster) -> None:
    late = pytest.raises(FaultError, match=r"when\('snapshot#1'\): it did not come within 0.2 s")
    with late, raft.when("snapshot#1", timeout_s=0.2):
        pass
    with pytest.raises(UsageError, match="class 'gossip' is not declared"), raft.when("gossip#1"):
        pass
    with pytest.raises(CapabilityError, match="runtime process cannot tell"), raft.when("sync:n1#1"):
        pass


def test_a_planned_fault_begins_at_its_message(raft: Cluster) -> None:
    run = raft.run("register", seconds=4, faults=["kill:leader@append#3"], clients=3, rate_per_s=40)

    assert [fault.verified for fault in run.faults] == [True] * len(run.faults), run.faults
    assert {verdict.status for verdict in run.verdicts} == {Status.HELD}
    for fault in run.faults:
        before = [m for m in run.ledger.messages if m.message_class == "append" and m.offered_ns < fault.start_ns]
        assert len(before) >= 3


def test_the_relay_holds_messages_only(raft: Cluster, session: Session) -> None:
    live = raft.live
    assert isinstance(live, LiveCluster)
    with pytest.raises(RelayError, match="sees no forced writes"):
        session.portal.call(live.relay.hold_at(parse_trigger("sync:n1#1"), 1.0))  # type: ignore[arg-type]  # it is one
