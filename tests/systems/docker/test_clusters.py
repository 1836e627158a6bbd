"""Clusters of containers keep what clusters of processes keep: the same systems, faults, verdicts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from pytest_coordchaos import Cluster, Port, Session, StartError, Status, System, ready_log, ready_port
from pytest_coordchaos.run import InvariantRequest, TestRequest
from pytest_coordchaos.runtimes.base import NodeState
from reference_systems.raft_kv.system import system as raft_kv
from tests.requirements import require
from tests.systems.docker.engine import BASE, client, left_of
from tests.systems.docker.etcd_image import etcd_image
from tests.systems.etcd_system import ETCD, connect, etcd_system, get, post, text
from tests.systems.process_rig import PROGRAMS

_LEAVES = ["sh", "-c", "exit 3"]
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture(scope="module")
def raft(containers: Session) -> Iterator[Cluster]:
    with containers.start(raft_kv(nodes=3)) as cluster:
        yield cluster


@pytest.fixture
def echo(containers: Session) -> Iterator[Cluster]:
    """Two containers that answer what they get."""
    with containers.start(_echo_system()) as cluster:
        yield cluster


def _echo_system(**more: object) -> System:
    given = {
        "name": "echo",
        "nodes": 2,
        "ports": [Port("tcp")],
        "image": BASE,
        "command": ["python3", "-I", "-S", "{dir}/echo.py", "{host:tcp}", "{port:tcp}", "reuse"],
        "files": {"echo.py": (PROGRAMS / "echo_server.py").read_text()},
        "ready": ready_port("tcp"),
    }
    return System(**{**given, **more})


def test_registers_are_linearizable_under_every_fault(containers: Session, raft: Cluster) -> None:
    faults = ("partition:halves", "kill:leader", "pause:one", "slow:all:20")
    containers.begin_test(TestRequest(test="raft in containers", seed=5, invariants=LINEARIZABLE, faults=faults[:3]))
    run = raft.run("register", seconds=6)
    containers.end_test()

    assert [verdict.status for verdict in run.verdicts if verdict.name == "linearizable"] == [Status.HELD], run.verdicts
    assert all(fault.verified for fault in run.faults), run.faults
    assert {fault.words.split()[0].partition(":")[0] for fault in run.faults} >= {"kill", "pause"}
    assert run.runtime == "docker"
    assert not run.ledger.bypasses
    assert not run.ledger.note
    assert run.figures.ok > 20
    assert all(used_s > 0 for used_s in run.figures.cpu_s.values())
    assert all(run.logs[node] is not None for node in raft.nodes)


def test_a_killed_node_keeps_its_address_and_its_data(raft: Cluster) -> None:
    victim = raft.leader()
    before = raft.live.layout.bind[victim, "peer"]
    raft.kill(victim)
    assert raft.state(victim) is NodeState.DEAD
    raft.restart(victim)
    raft.heal()
    raft.wait_healed()

    assert raft.live.layout.bind[victim, "peer"] == before
    assert client().containers.get(raft.live.runtime._members[victim].id).attrs["RestartCount"] == 0
    assert "is started again (start 2)" in raft.log(victim)


def test_a_connection_between_containers_round_the_relay_is_named(containers: Session, echo: Cluster) -> None:
    containers.begin_test(TestRequest(test="walker", seed=1))
    host, port = echo.live.layout.bind["n2", "tcp"]
    walk = f"import socket, time; s = socket.create_connection(({host!r}, {port})); s.send(b'x'); s.recv(1); time.sleep(1.5)"
    container = client().containers.get(echo.live.runtime._members["n1"].id)
    assert container.exec_run(["python3", "-c", walk]).exit_code == 0
    ledger = echo.ledger()
    containers.end_test()

    (sentence,) = ledger.bypasses
    own = echo.live.layout.bind["n1", "tcp"][0]
    assert sentence.startswith(f"port tcp of n2 ({host}:{port}) was reached round the relay from n1 ({own}:")


def test_links_are_no_bypass_and_a_dead_container_refuses_at_once(containers: Session, echo: Cluster) -> None:
    containers.begin_test(TestRequest(test="links", seed=1))
    assert _says(echo, "n1") == b"hello"
    echo.kill("n1")
    with contextlib.suppress(ConnectionResetError):
        assert _says(echo, "n1") == b""
    echo.restart("n1")
    assert _says(echo, "n1") == b"hello"
    assert not echo.ledger().bypasses
    containers.end_test()


def _says(cluster: Cluster, node: str) -> bytes:
    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(*cluster.address(node, "tcp"))
        writer.write(b"hello")
        try:
            async with asyncio.timeout(2.5):  # a refusal that takes as long as the kernel's own (3 s) is none
                return await reader.read(5)
        finally:
            writer.transport.abort()

    return asyncio.run(talk())


def test_servers_that_share_one_set_of_addresses_are_cut_pair_by_pair(containers: Session) -> None:
    """Unmodified etcd: every member is n1:2380 … to all, the names lead to ambassadors, and diallers are told apart."""
    require("etcd", ETCD is not None, "etcd is not on PATH (Debian: apt-get install etcd-server)")
    with containers.start(etcd_system(3, image=etcd_image(), program="etcd")) as etcd:
        containers.begin_test(TestRequest(test="etcd in containers", seed=3, invariants=LINEARIZABLE))
        old = etcd.leader()
        new = next(node for node in etcd.nodes if node != old)

        def put(node: str, value: int) -> None:
            with contextlib.closing(connect(etcd, node)) as connection:
                post(connection, "/v3/kv/put", {"key": text("x"), "value": text(str(value))})

        with etcd.record("put", key="x", value=1, node=old) as op:
            op.ok(put(old, 1))
        with etcd.isolate(old) as fault:
            assert fault.verified
            etcd.wait_until(lambda: put(new, 1) is None, what="a new leader")
            with etcd.record("put", key="x", value=2, node=new) as op:
                op.ok(put(new, 2))
            with etcd.record("get", key="x", node=old) as op, contextlib.closing(connect(etcd, old)) as connection:
                op.ok(get(connection, "x", serializable=True))
        (run,) = containers.end_test()

    assert [verdict.status for verdict in run.verdicts] == [Status.VIOLATED]
    assert not run.ledger.bypasses
    spoken = {total.link.source for total in run.ledger.totals if total.link.port == "peer" and total.offered_bytes}
    assert spoken == set(etcd.nodes)


def test_limits_are_kept_and_a_node_that_needs_more_memory_is_named(containers: Session) -> None:
    hungry = ["python3", "-c", "print('hungry', flush=True); x = b'x' * (300 << 20); print(len(x))"]
    with (
        pytest.raises(StartError) as caught,
        containers.start(_echo_system(nodes=1, command=hungry, memory_mb=64, cpus=0.5, ready=ready_log("never said"))),
    ):
        pass

    assert "exited with signal 9" in str(caught.value)
    assert caught.value.log_tail[-1] == "--- coordchaos: n1 was killed by the kernel: it used more memory than it may ---"


def test_cpus_and_memory_are_told_to_the_engine(containers: Session) -> None:
    with containers.start(_echo_system(nodes=1, cpus=0.5, memory_mb=64)) as cluster:
        asked = client().containers.get(cluster.live.runtime._members["n1"].id).attrs["HostConfig"]

    assert (asked["NanoCpus"], asked["Memory"], asked["PortBindings"] or {}) == (500_000_000, 64 << 20, {})


def test_nothing_is_left_when_a_cluster_stops_or_does_not_start(containers: Session) -> None:
    with containers.start(_echo_system()):
        assert len([name for name in left_of(containers.run_id) if "-echo-" in name]) == 4  # two nodes, ambassador, network
    with (
        pytest.raises(StartError, match=r"Node n\d exited with exit status 3"),
        containers.start(_echo_system(command=_LEAVES)),
    ):
        pass

    assert [name for name in left_of(containers.run_id) if "-echo-" in name] == []
