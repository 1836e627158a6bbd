"""Each test's history and ledger are a window on its cluster: what counts, what is context, what is left behind."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from pytest_coordchaos import Call, Client, Cluster, Session, Status, UsageError, register
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from tests.systems.mesh import ask, mesh_system, tell

LINEARIZABLE = (InvariantRequest(name="linearizable"),)
THREE = BudgetRequest(limits={"messages_per_op": 2})


@pytest.fixture(scope="module")
def mesh(session: Session):
    with session.start(mesh_system(3)) as cluster:
        yield cluster


def _put(cluster: Cluster, value: int) -> None:
    with cluster.record("put", key="k", value=value) as op:
        op.ok()


def _get(cluster: Cluster, value: int | None) -> None:
    with cluster.record("get", key="k") as op:
        op.ok(value)


def test_a_value_of_an_earlier_test_may_be_read_in_a_later_one(session: Session, mesh: Cluster) -> None:
    session.begin_test(TestRequest(test="first", seed=1, invariants=LINEARIZABLE))
    _put(mesh, 1)
    (first,) = session.end_test()
    session.begin_test(TestRequest(test="second", seed=1, invariants=LINEARIZABLE))
    _get(mesh, 1)
    (second,) = session.end_test()

    assert (first.status, second.status) == (Status.HELD, Status.HELD)
    assert [len(run.history) for run in (first, second)] == [1, 1]


def test_what_an_earlier_test_broke_is_unknown_and_not_this_tests_fault(session: Session) -> None:
    with session.start(mesh_system(1)) as cluster:
        session.begin_test(TestRequest(test="breaks", seed=1, invariants=LINEARIZABLE))
        _put(cluster, 1)
        _get(cluster, None)
        (broken,) = session.end_test()
        session.begin_test(TestRequest(test="innocent", seed=1, invariants=LINEARIZABLE))
        _get(cluster, 1)
        (innocent,) = session.end_test()

    assert (broken.status, innocent.status) == (Status.VIOLATED, Status.UNKNOWN)
    assert "before this test" in innocent.verdicts[0].summary


def test_traffic_round_the_relay_makes_every_verdict_unknown(session: Session) -> None:
    with session.start(mesh_system(3)) as cluster:
        session.begin_test(TestRequest(test="bypass", seed=1, invariants=LINEARIZABLE))
        host, number = cluster.live.layout.bind["n2", "peer"]
        _put(cluster, 1)
        with cluster.partition({"n1"}, {"n2"}):
            shown = tell(cluster, "n1", {"type": "ping", "address": f"{host}:{number}", "text": "I walked round"})
        (run,) = session.end_test()

    assert shown == "I walked round"
    assert run.verdicts[0].status is Status.UNKNOWN
    assert "port peer of n2" in run.verdicts[0].summary


def test_the_same_traffic_through_the_link_is_no_bypass(session: Session, mesh: Cluster) -> None:
    session.begin_test(TestRequest(test="link", seed=1, invariants=LINEARIZABLE))
    _put(mesh, 7)
    assert ask(mesh, "n1", "n2") == "hello"
    (run,) = session.end_test()

    assert run.status is Status.HELD
    assert run.ledger.bypasses == ()


def test_a_fault_left_in_force_is_undone_at_the_end_of_its_test(session: Session, mesh: Cluster) -> None:
    session.begin_test(TestRequest(test="forgets", seed=1))
    mesh.isolate("n1")
    mesh.kill("n3")
    session.end_test()

    assert mesh.faults == ()
    assert ask(mesh, "n1", "n3") == "hello"


def test_a_fault_put_in_force_before_the_test_stays(session: Session, mesh: Cluster) -> None:
    with mesh.slow("n1", "n2", one_way_ms=1) as fault:
        session.begin_test(TestRequest(test="inherits", seed=1))
        assert ask(mesh, "n1", "n3") == "hello"
        session.end_test()
        assert mesh.faults == (fault.words,)


def test_a_window_counts_only_its_own_messages(session: Session, mesh: Cluster) -> None:
    """Two messages per question; questions asked between windows are nobody's."""
    measured = []
    for questions in (1, 3):
        assert ask(mesh, "n2", "n1") == "hello"
        session.begin_test(TestRequest(test="counts", seed=1, budgets=(THREE,)))
        for _ in range(questions):
            with mesh.record("ask") as op:
                op.ok(ask(mesh, "n1", "n2"))
        (run,) = session.end_test()
        measured.append((run.verdicts[0].measured, run.verdicts[0].status))

    assert measured == [(2.0, Status.HELD), (2.0, Status.HELD)]


def test_the_ledger_is_read_while_the_test_runs(session: Session, mesh: Cluster) -> None:
    """Class, sender and receiver of each message; a cut shows as offered and never delivered."""
    session.begin_test(TestRequest(test="ledger", seed=1))
    assert ask(mesh, "n1", "n2") == "hello"
    between = mesh.ledger().between(mesh.nodes)
    with mesh.cut("n3", "n1"):
        tell(mesh, "n3", {"type": "tell", "to": "n1", "text": "lost"})
        mesh.wait_until(lambda: len(mesh.ledger().between(mesh.nodes).messages) == 3)
    lost = mesh.ledger().between(mesh.nodes).messages[-1]
    session.end_test()

    assert [(m.message_class, m.sender, m.receiver) for m in between] == [("ping", "n1", "n2"), ("pong", "n2", "n1")]
    assert all(m.delivered_ns is not None and m.delivered_ns >= m.offered_ns for m in between)
    assert (lost.message_class, lost.delivered_ns) == ("tell", None)


def test_a_marked_test_that_records_nothing_is_unknown(session: Session, mesh: Cluster) -> None:
    session.begin_test(TestRequest(test="idle", seed=1, invariants=LINEARIZABLE, budgets=(THREE,)))
    assert ask(mesh, "n1", "n2") == "hello"
    (run,) = session.end_test()

    assert {verdict.status for verdict in run.verdicts} == {Status.UNKNOWN}


def test_faults_of_a_marker_that_nobody_injected_are_unknown(session: Session, mesh: Cluster) -> None:
    session.begin_test(TestRequest(test="lazy", seed=1, faults=("pause:one",), invariants=LINEARIZABLE))
    _put(mesh, 8)
    (run,) = session.end_test()

    assert run.status is Status.UNKNOWN
    assert any("never called run" in verdict.summary for verdict in run.verdicts)


def test_a_cluster_started_inside_a_test_is_judged_before_it_goes(session: Session) -> None:
    session.begin_test(TestRequest(test="inside", seed=1, invariants=LINEARIZABLE))
    with session.start(mesh_system(1)) as cluster:
        _put(cluster, 1)
        _get(cluster, None)
    (run,) = session.end_test()

    assert run.status is Status.VIOLATED
    assert cluster.directory.is_dir(), "kept: somebody will want to read it"
    with pytest.raises(UsageError, match="is stopped"):
        cluster.kill("n1")


def test_a_markers_nodes_that_the_fixture_did_not_follow_are_unknown(session: Session) -> None:
    with session.start(mesh_system(1)) as cluster:
        for asked, expected in ((1, Status.HELD), (5, Status.UNKNOWN)):
            session.begin_test(TestRequest(test="size", seed=1, nodes=asked, invariants=LINEARIZABLE))
            _put(cluster, asked)
            (run,) = session.end_test()
            assert run.status is expected, run.verdicts
    assert "nodes_for" in run.verdicts[-1].summary


def test_a_schedule_that_the_clients_could_not_keep_is_said_so(session: Session) -> None:
    """What was never sent is in no percentile: without a word the figures would flatter."""

    def call(connection: None, asked: Call) -> None:
        time.sleep(0.05)

    client = Client(connect=lambda cluster, node: None, call=call)
    session.begin_test(TestRequest(test="slow", seed=1))
    with session.start(mesh_system(1)) as cluster:
        run = cluster.run(replace(register(clients=1, rate_per_s=500), client=client), seconds=0.3)
    session.end_test()

    assert any("were never sent: no client was free" in note for note in run.notes), run.notes


def test_nothing_of_a_stopped_cluster_is_left(session: Session) -> None:
    """Its directory goes when all held; its processes go always."""
    with session.start(mesh_system(2)) as cluster:
        directory = cluster.directory
        addresses = [cluster.live.layout.bind[node, "client"] for node in cluster.nodes]
        assert directory.is_dir()

    assert not directory.exists()
    for address in addresses:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(address, timeout=1):
            pass
