"""A real Toxiproxy behind the relay: the same faults, the same counts, and nothing left of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_coordchaos import Cluster, Session, Status
from pytest_coordchaos.faults.model import Cut
from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from pytest_coordchaos.run import InvariantRequest, TestRequest
from tests.real_toxiproxy import require_toxiproxy
from tests.systems.mesh import ask, mesh_system, tell
from tests.systems.test_datagrams import gossip_system, heard, spread, wait_for
from tests.systems.toxiproxy_rig import SILENT, processes_of_port, session_with

pytestmark = pytest.mark.needs("toxiproxy")
ENDED = ("closed", "error ConnectionResetError")
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    require_toxiproxy()
    with session_with(tmp_path_factory.mktemp("toxiproxy")) as session:
        yield session


@pytest.fixture(scope="module")
def mesh(session: Session) -> Iterator[Cluster]:
    with session.start(mesh_system(3)) as cluster:
        yield cluster


def client_of(cluster: Cluster) -> ToxiproxyClient:
    """The cluster's own Toxiproxy."""
    return cluster.live.relay._server.client  # type: ignore[attr-defined]  # a ToxiproxyLinks


def toxics(cluster: Cluster, name: str) -> list[str]:
    return [toxic.full_name for toxic in client_of(cluster).get(name).toxics]


# -- faults ------------------------------------------------------------------------------------------


def test_faults_on_datagrams_are_the_relays_and_the_notes_say_so(session: Session) -> None:
    def told(cluster: Cluster) -> bool:
        return any("knows TCP alone: faults on UDP links" in note for note in cluster.live.relay.notes(0))

    with session.start(gossip_system(3)) as gossip:
        assert not told(gossip)
        with gossip.partition({"n1"}, {"n2"}) as fault:
            assert fault.verified
            spread(gossip, "n1", "cut")
            wait_for(gossip, "n3", "cut")
            assert heard(gossip, "n2", "cut") == 0
        assert told(gossip)
        spread(gossip, "n1", "healed")
        wait_for(gossip, "n2", "healed")


def test_a_partition_is_toxiproxys_and_is_proven_there(mesh: Cluster) -> None:
    with mesh.partition({"n1"}, {"n2"}) as fault:
        assert fault.verified
        assert "Toxiproxy: 64 bytes were received, none arrived" in _observed(mesh)
        assert toxics(mesh, "n1.n2.peer") == ["timeout_upstream", "timeout_downstream"]
        assert ask(mesh, "n1", "n2") in SILENT
        assert ask(mesh, "n1", "n3") == "hello"

    assert toxics(mesh, "n1.n2.peer") == []
    assert ask(mesh, "n1", "n2") == "hello"


def test_a_cut_is_one_way(mesh: Cluster) -> None:
    ask(mesh, "n1", "n2")
    with mesh.cut("n1", "n2"):
        tell(mesh, "n1", {"type": "tell", "to": "n2", "text": "lost"})
        tell(mesh, "n2", {"type": "tell", "to": "n1", "text": "arrives"})
        mesh.wait_until(lambda: "arrives" in tell(mesh, "n1", {"type": "received"}))
        assert "lost" not in tell(mesh, "n2", {"type": "received"})


def test_delays_are_toxiproxys_whole_milliseconds_and_the_relays_fractions(mesh: Cluster) -> None:
    with mesh.slow("n1", "n3", one_way_ms=80), mesh.slow("n1", "n3", one_way_ms=40.5) as fault:
        assert fault.verified
        (latency,) = client_of(mesh).get("n1.n3.peer").toxics
        started = time.monotonic()
        assert ask(mesh, "n1", "n3") == "hello"
        took_s = time.monotonic() - started

    assert (latency.full_name, dict(latency.attributes)) == ("latency_upstream", {"latency": 120, "jitter": 0})
    assert took_s >= 0.1205
    assert any("fractions of a millisecond" in note for note in mesh.live.relay.notes(0))


def test_a_refusal_reaches_the_dialler_as_one(mesh: Cluster) -> None:
    with mesh.refuse("n1", "n2") as fault:
        assert fault.verified
        assert not client_of(mesh).get("n1.n2.peer").enabled
        assert ask(mesh, "n1", "n2").startswith("error Connection")
        assert ask(mesh, "n2", "n1") == "hello"

    assert ask(mesh, "n1", "n2") == "hello"


def test_faults_undo_in_any_order(mesh: Cluster) -> None:
    first, second, third = mesh.partition({"n1"}, {"n2", "n3"}), mesh.slow("n1", "n2", one_way_ms=20), mesh.refuse("n1", "n2")
    third.undo()
    assert ask(mesh, "n1", "n2") in SILENT
    first.undo()
    assert ask(mesh, "n1", "n2") == "hello"
    assert toxics(mesh, "n1.n2.peer") == ["latency_upstream"]
    second.undo()
    assert toxics(mesh, "n1.n2.peer") == []


def test_no_end_of_a_stream_gets_past_a_cut_and_what_lost_bytes_is_reset(mesh: Cluster) -> None:
    """Toxiproxy's timeout passes on the end of a stream; the relay before it swallows that."""
    connection = socket.create_connection(mesh.address("n1", "client"), timeout=10)
    with connection, mesh.partition({"clients"}, {"n1"}) as fault:
        connection.sendall(b'{"type": "received"}\n')
        mesh.kill("n1").undo()
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        fault.undo()
        connection.settimeout(10)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_killed_node_refuses_like_one_behind_the_relay_alone(mesh: Cluster) -> None:
    with mesh.kill("n2"):
        assert not client_of(mesh).get("n1.n2.peer").enabled
        assert ask(mesh, "n1", "n2") in (*ENDED, "error ConnectionRefusedError")

    assert client_of(mesh).get("n1.n2.peer").enabled
    assert ask(mesh, "n1", "n2") == "hello"


def test_a_toxic_that_somebody_took_away_is_noticed(mesh: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back is not what was asked for: the fault is not verified."""
    add = ToxiproxyClient.add_toxic

    def then_remove(client: ToxiproxyClient, name: str, toxic: object) -> object:
        added = add(client, name, toxic)  # type: ignore[arg-type]  # handed on
        if name == "n1.n2.peer":
            client.remove_toxic(name, added.full_name)
        return added

    monkeypatch.setattr(ToxiproxyClient, "add_toxic", then_remove)
    with mesh.cut("n1", "n2") as fault:
        assert not fault.verified
        assert "its proxy is not what it was told to be" in _observed(mesh)
        monkeypatch.undo()
    assert ask(mesh, "n1", "n2") == "hello"


def test_a_server_whose_toxics_do_nothing_is_noticed(mesh: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe's proxy gets none of the toxics, as if they were in vain."""
    add = ToxiproxyClient.add_toxic
    monkeypatch.setattr(ToxiproxyClient, "add_toxic", lambda c, name, t: t if name.startswith("probe") else add(c, name, t))
    with mesh.slow("n1", "n2", one_way_ms=60) as fault:
        assert not fault.verified
    with mesh.cut("n1", "n2") as fault:
        assert not fault.verified
        assert "64 bytes arrived" in _observed(mesh)


def _observed(cluster: Cluster) -> str:
    return " | ".join(probe.observed for probe in cluster.live.handles[-1].probes)


# -- the run -----------------------------------------------------------------------------------------


def test_a_raft_store_stays_linearizable_under_every_kind_of_fault(session: Session) -> None:
    from reference_systems.raft_kv.system import system

    with session.start(system(nodes=3)) as kv:
        session.begin_test(TestRequest(test="raft", seed=3, invariants=LINEARIZABLE))
        run = kv.run("register", seconds=4, faults=["partition:halves", "kill:leader", "pause:leader", "slow:20"])
        session.end_test()

    assert run.proxy == "toxiproxy"
    assert {verdict.status for verdict in run.verdicts} == {Status.HELD}, run.verdicts
    assert run.faults
    assert all(fault.verified for fault in run.faults), run.faults
    assert not run.ledger.bypasses
    assert any("Toxiproxy 2." in note and "delivered means passed on to it" in note for note in run.notes)


def test_messages_per_operation_are_those_of_the_relay_alone(session: Session, tmp_path: Path) -> None:
    """The relay counts in either case: without faults a put costs exactly the same."""
    with session_with(tmp_path, proxy="relay") as alone:
        costs = [_cost_of_puts(one) for one in (session, alone)]

    assert costs[0] == costs[1] > 0


def _cost_of_puts(session: Session) -> float:
    with session.start(mesh_system(3)) as cluster:
        since = session.portal.call(cluster.live.relay.mark())
        for _ in range(20):
            assert ask(cluster, "n1", "n2") == "hello"
        ledger = session.portal.call(cluster.live.ledger(since))
    return sum(message.link.port == "peer" for message in ledger)


def test_two_clusters_side_by_side_do_not_disturb_each_other(session: Session, mesh: Cluster) -> None:
    with session.start(mesh_system(2)) as other:
        with mesh.partition({"n1"}, {"n2"}):
            assert ask(other, "n1", "n2") == "hello"
            with other.partition({"n1"}, {"n2"}):
                assert ask(other, "n1", "n2") in SILENT
            assert ask(other, "n1", "n2") == "hello"
            assert ask(mesh, "n1", "n2") in SILENT
        assert client_of(other).address != client_of(mesh).address

    assert ask(mesh, "n1", "n2") == "hello"


# -- when it hangs, or is gone ------------------------------------------------------------------------


@contextmanager
def hasty(cluster: Cluster) -> Iterator[None]:
    """Less patience with a server that hangs."""
    client = client_of(cluster)
    before, client.deadline_s = client.deadline_s, 0.5
    yield
    client.deadline_s = before


def _stall(cluster: Cluster, node: str) -> socket.socket:
    """A client's connection to a stopped node, full to the brim."""
    connection = socket.create_connection(cluster.address(node, "client"), timeout=0.5)
    try:
        while True:
            connection.sendall(b"x" * (1 << 20))
    except TimeoutError:
        return connection


def test_a_wedged_proxy_is_made_anew_and_the_run_says_so(session: Session) -> None:
    """Toxiproxy hangs for good when a toxic is added while a receiver takes nothing."""
    with session.start(mesh_system(2)) as cluster, cluster.pause("n1"), _stall(cluster, "n1"), hasty(cluster):
        with cluster.slow("clients", "n1", one_way_ms=5) as fault:
            assert fault.verified, _observed(cluster)
            assert toxics(cluster, "clients.n1.client") == ["latency_upstream"]
        notes = cluster.live.relay.notes(0)
        cluster.heal()
        assert ask(cluster, "n1", "n2") == "hello"

    assert any("Toxiproxy's proxy for clients->n1:client hung and was made anew" in note for note in notes), notes


def test_a_server_that_is_gone_is_started_again_with_everything_in_force(session: Session) -> None:
    with session.start(mesh_system(2)) as cluster:
        with cluster.partition({"n1"}, {"n2"}):
            (server,) = processes_of_port(client_of(cluster).address[1])
            server.kill()
            with cluster.slow("clients", "n1", one_way_ms=5) as fault:
                assert fault.verified
                assert ask(cluster, "n1", "n2") in SILENT
        assert ask(cluster, "n1", "n2") == "hello"
        notes, bypasses = cluster.live.relay.notes(0), cluster.ledger().bypasses

    assert any("was started again; all connections ended" in note for note in notes)
    assert not bypasses


# -- what it cannot do, and who is asked -------------------------------------------------------------------


def test_what_toxiproxy_cannot_express_is_the_relays_and_the_run_says_so(mesh: Cluster) -> None:
    with mesh.apply(Cut("n1", "n2", hold=True)) as held:
        assert held.verified
        assert toxics(mesh, "n1.n2.peer") == []
        assert ask(mesh, "n1", "n2") in SILENT

    assert ask(mesh, "n1", "n2") == "hello"
    assert any("because Toxiproxy cannot express it: holds" in note for note in mesh.live.relay.notes(0))


@pytest.mark.parametrize("asked", ["relay", "toxiproxy"])
def test_a_marker_chooses_the_proxy_of_clusters_started_in_its_test(session: Session, asked: str) -> None:
    session.begin_test(TestRequest(test="marker", seed=1, proxy=asked))
    with session.start(mesh_system(2)) as cluster:
        found = cluster.live.relay.proxy
    session.end_test()

    assert found == asked
