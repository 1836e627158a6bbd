"""Faults on messages and holds, on real processes: what programs see of them, and that Raft stays safe under all."""

from __future__ import annotations

import pytest

from pytest_coordchaos import Cluster, Session, Status, UsageError
from pytest_coordchaos.run import InvariantRequest, TestRequest
from reference_systems.raft_kv.system import system as raft_system
from tests.systems.mesh import ask, mesh_system, tell

SILENT = ("error TimeoutError", "closed")
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture(scope="module")
def mesh(session: Session):
    with session.start(mesh_system(3)) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest):
    """Every test on the mesh starts and ends with nothing in force."""
    yield
    if "mesh" in request.fixturenames:
        mesh = request.getfixturevalue("mesh")
        mesh.heal()
        mesh.wait_healed()
        assert mesh.faults == ()


def received(mesh: Cluster, node: str) -> list[str]:
    """What a node was told so far."""
    texts: list[str] = tell(mesh, node, {"type": "received"})
    return texts


def test_a_hold_delivers_old_messages_after_the_heal(mesh: Cluster) -> None:
    with mesh.hold("n1", "n2", both_ways=True) as fault:
        assert fault.verified
        assert fault.words == "hold n1 -> n2 + hold n2 -> n1"
        assert tell(mesh, "n1", {"type": "tell", "to": "n2", "text": "from before the heal"}) == "sent"
        assert ask(mesh, "n1", "n3") == "hello"
        assert "from before the heal" not in received(mesh, "n2")

    mesh.wait_until(lambda: "from before the heal" in received(mesh, "n2"))


def test_a_holding_partition_loses_nothing(mesh: Cluster) -> None:
    with mesh.partition({"n1"}, {"n2", "n3"}, hold=True) as fault:
        assert fault.verified
        assert fault.words == "hold partition {n1} | {n2,n3}"
        assert ask(mesh, "n2", "n1", "late question") in SILENT
        assert ask(mesh, "n2", "n3") == "hello"
        assert "late question" not in received(mesh, "n1")

    mesh.wait_until(lambda: "late question" in received(mesh, "n1"))


def test_a_lost_message_never_arrives_and_others_do(mesh: Cluster) -> None:
    with mesh.lose("n1", "n2", rate=1, classes={"tell"}) as fault:
        assert fault.verified
        tell(mesh, "n1", {"type": "tell", "to": "n2", "text": "lost"})
        assert ask(mesh, "n1", "n2", "kept") == "kept"
        assert "lost" not in received(mesh, "n2")


def test_a_doubled_message_arrives_twice(mesh: Cluster) -> None:
    with mesh.duplicate("n1", "n2", rate=1):
        tell(mesh, "n1", {"type": "tell", "to": "n2", "text": "twice"})
        mesh.wait_until(lambda: received(mesh, "n2").count("twice") == 2)


def test_a_request_is_carried_out_and_its_reply_is_lost(mesh: Cluster) -> None:
    with mesh.drop_replies("n1", "n2") as fault:
        assert fault.verified
        assert ask(mesh, "n1", "n2", "asked") == "error ConnectionResetError"
        assert "asked" in received(mesh, "n2")
        assert ask(mesh, "n2", "n1") == "hello"

    assert ask(mesh, "n1", "n2") == "hello"


def test_a_client_whose_reply_is_lost_sees_a_reset(mesh: Cluster) -> None:
    with mesh.drop_replies("clients", "n1"), pytest.raises(ConnectionResetError):
        tell(mesh, "n1", {"type": "received"})


def test_faults_on_messages_undo_in_any_order(mesh: Cluster) -> None:
    faults = [
        mesh.lose("n1", "n2", rate=1),
        mesh.lose("n1", "n2", rate=0.5),
        mesh.hold("n1", "n2"),
        mesh.reorder("n1", "n2", rate=1),
    ]
    for fault in (faults[2], faults[0], faults[3], faults[1]):
        assert fault.verified
        fault.undo()

    assert ask(mesh, "n1", "n2") == "hello"


def test_what_makes_no_sense_is_refused_and_nothing_is_in_force(mesh: Cluster) -> None:
    for wrong, message in (
        (lambda: mesh.lose("n1", "n2", rate=20), "lose: rate=20 is not allowed; 0 to 1"),
        (lambda: mesh.corrupt("n1", "n1", rate=0.5), "a node has no link to itself"),
        (lambda: mesh.reorder("n1", "n2", rate=0.5, classes="ping"), "classes='ping' is one text"),
        (lambda: mesh.drop_replies("n1", "n7"), "There is no node 'n7'"),
    ):
        with pytest.raises(UsageError, match=message):
            wrong()
    assert mesh.faults == ()


@pytest.mark.parametrize(
    "words",
    [
        ("lose:20", "duplicate", "reorder"),
        ("corrupt", "drop-replies:leader", "hold:halves"),
    ],
    ids=", ".join,
)
def test_raft_stays_linearizable_whatever_happens_to_its_messages(session: Session, words: tuple[str, ...]) -> None:
    with session.start(raft_system(3)) as cluster:
        session.begin_test(TestRequest(test=f"raft {words}", seed=5, invariants=LINEARIZABLE))
        run = cluster.run("register", seconds=7, faults=words)
        session.end_test()
        alive = [cluster.state(node) for node in cluster.nodes]

    assert [(fault.words, fault.note) for fault in run.faults if not fault.verified] == []
    assert {verdict.status for verdict in run.verdicts} == {Status.HELD}, run.verdicts
    assert run.figures.ok > 20
    assert set(alive) == {"running"}


def test_raft_stays_linearizable_while_everything_happens_at_once(session: Session) -> None:
    with session.start(raft_system(3)) as cluster:
        session.begin_test(TestRequest(test="raft everything", seed=6, invariants=LINEARIZABLE))
        for a, b in (("n1", "n2"), ("n2", "n3"), ("n1", "n3")):
            cluster.lose(a, b, rate=0.2, both_ways=True)
            cluster.duplicate(a, b, rate=0.2, both_ways=True)
            cluster.reorder(a, b, rate=0.2, both_ways=True)
            cluster.corrupt(a, b, rate=0.01, both_ways=True)
        run = cluster.run("register", seconds=5)
        cluster.heal()
        cluster.wait_healed()
        session.end_test()
        cut = [message for message in run.ledger if message.link.port == "peer" and message.delivered_ns is None]

    assert {verdict.status for verdict in run.verdicts} == {Status.HELD}, run.verdicts
    assert run.figures.ok > 0
    assert cut
