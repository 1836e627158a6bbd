"""Where the engine is on another kernel the relay is a container too: the same promises, by another way."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_coordchaos import Cluster, Port, Session, Status, System, ready_log, ready_port
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from pytest_coordchaos.runtimes import docker_ambassadors
from pytest_coordchaos.settings import Settings
from reference_systems.raft_kv.system import system as raft_kv
from tests.systems.docker.engine import BASE, client, left_of
from tests.systems.process_rig import PROGRAMS

UDP_ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], int(sys.argv[2])))
print("ready")
while True:
    sock.sendto(*sock.recvfrom(100))
"""
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture(scope="module")
def far(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session whose relays are containers."""
    session = Session(
        settings=Settings(runtime="docker", base_image=BASE, relay="container"), root=tmp_path_factory.mktemp("far")
    )
    yield session
    session.close()
    assert left_of(session.run_id) == []


@pytest.fixture(scope="module")
def echo(far: Session) -> Iterator[Cluster]:
    with far.start(_echo_system()) as cluster:
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


def test_a_budget_is_judged_and_registers_are_linearizable_under_faults(far: Session) -> None:
    faults = ("partition:halves", "kill:leader")
    budget = BudgetRequest(limits={"messages_per_op": 1000.0})
    with far.start(raft_kv(nodes=3)) as raft:
        far.begin_test(TestRequest(test="raft", seed=5, invariants=LINEARIZABLE, faults=faults, budgets=(budget,)))
        run = raft.run("register", seconds=6)
        far.end_test()

    assert [verdict.status for verdict in run.verdicts] == [Status.HELD] * len(run.verdicts), [
        (v.summary, v.details) for v in run.verdicts
    ]
    assert {"linearizable", "messages_per_op"} <= {verdict.name for verdict in run.verdicts}
    assert all(fault.verified for fault in run.faults), run.faults
    assert {fault.words.split()[0].partition(":")[0] for fault in run.faults} == {"partition", "kill"}
    assert run.figures.ok > 20
    assert (tuple(run.ledger.bypasses), run.ledger.note) == ((), "")
    assert run.runtime_reason.endswith("; its relay is a container too")
    classes = {message.message_class for message in run.ledger.messages if message.link.port == "peer"}
    assert {"append", "append_ok", "heartbeat"} <= classes


@pytest.mark.parametrize("relay", ["host", "container"])
def test_both_places_count_the_same(tmp_path: Path, relay: str) -> None:
    session = Session(settings=Settings(runtime="docker", base_image=BASE, relay=relay), root=tmp_path)
    try:
        with session.start(_echo_system(ports=[Port("tcp", protocol="json-lines")])) as cluster:
            session.begin_test(TestRequest(test="count", seed=1))
            lines = [b'{"type": "put", "n": %d}\n' % number for number in range(7)]
            assert [_says(cluster, "n2", line) for line in lines] == lines
            ledger = cluster.ledger()
            session.end_test()
    finally:
        session.close()

    counted = [(message.size_bytes, message.message_class, message.receiver) for message in ledger.messages]
    assert counted == [(24, "put", "n2"), (24, "put", "clients")] * 7
    assert all(message.delivered_ns and ledger.start_ns <= message.offered_ns <= ledger.end_ns for message in ledger.messages)
    assert left_of(session.run_id) == []


def test_links_are_no_bypass_a_walk_round_them_is_one_and_the_dead_refuse_at_once(far: Session, echo: Cluster) -> None:
    far.begin_test(TestRequest(test="links", seed=1))
    assert _says(echo, "n1", b"hello") == b"hello"
    echo.kill("n1")
    with contextlib.suppress(ConnectionResetError):
        assert _says(echo, "n1", b"hello") == b""
    echo.restart("n1")
    echo.wait_healed()
    assert _says(echo, "n1", b"hello") == b"hello"
    assert not echo.ledger().bypasses
    host, port = echo.live.layout.bind["n2", "tcp"]
    walk = f"import socket, time; s = socket.create_connection(({host!r}, {port})); s.send(b'x'); s.recv(1); time.sleep(1.5)"
    assert _exec(echo, "n1", walk) == 0
    (sentence,) = echo.ledger().bypasses
    far.end_test()

    assert sentence.startswith(f"port tcp of n2 ({host}:{port}) was reached round the relay from n1 ")


def test_nodes_that_share_addresses_are_cut_pair_by_pair(far: Session) -> None:
    with far.start(_echo_system(addresses="shared")) as cluster:
        far.begin_test(TestRequest(test="shared", seed=1))
        number = cluster.live.layout.bind["n2", "tcp"][1]
        dial = (
            "import socket; s = socket.create_connection(({!r}, {}), 2); s.settimeout(2); s.send(b'x'); assert s.recv(1) == b'x'"
        )
        assert _exec(cluster, "n1", dial.format("n2", number)) == 0
        with cluster.partition({"n1"}, {"n2"}) as fault:
            assert fault.verified
            assert _exec(cluster, "n1", dial.format("n2", number)) != 0
            assert _says(cluster, "n2", b"hello") == b"hello"
        assert _exec(cluster, "n1", dial.format("n2", number)) == 0
        ledger = cluster.ledger()
        far.end_test()

    crossed = {(total.sender, total.receiver) for total in ledger.totals if total.offered_bytes}
    assert {("n1", "n2"), ("n2", "n1"), ("clients", "n2")} <= crossed
    assert not ledger.bypasses


def test_datagrams_of_clients_come_back_through_it(far: Session) -> None:
    command = ["python3", "-I", "-S", "-u", "-c", UDP_ECHO, "{host:udp}", "{port:udp}"]
    ports = [Port("udp", transport="udp")]
    with far.start(_echo_system(name="udp", nodes=1, ports=ports, command=command, ready=ready_log("ready"))) as cluster:
        far.begin_test(TestRequest(test="udp", seed=1))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(b"hello", cluster.address("n1", "udp"))
            assert sock.recv(100) == b"hello"
        ledger = cluster.ledger()
        far.end_test()

    assert [(one.size_bytes, one.receiver) for one in ledger.messages] == [(5, "n1"), (5, "clients")]


def test_its_control_api_is_for_those_who_know_the_token(echo: Cluster) -> None:
    connection = http.client.HTTPConnection(*echo.live.relay.address, timeout=10)
    statuses = []
    for headers in ({}, {"coordchaos-token": "0" * 32}):
        for method, path in (("GET", "/coordchaos/live"), ("GET", "/proxies"), ("CONNECT", "127.0.0.1:1")):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    connection.close()

    assert statuses == [403] * 6


def test_what_it_is_made_of_goes_with_the_cluster(far: Session) -> None:
    with far.start(_echo_system(name="gone")):
        there = sorted(name.partition("-gone-")[2] for name in left_of(far.run_id) if "-gone-" in name)
    left = [name for name in left_of(far.run_id) if "-gone-" in name]

    # nodes, ambassador and relay; the relay's network and volume; the cluster's network has no name after its number
    assert [name.partition("-")[2] for name in there] == ["", "ambassador-relay", "doors", "n1", "n2", "relay", "relay"]
    assert left == []


def test_what_is_on_another_kernel_gets_it_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an engine in a virtual machine: the door is there and leads nowhere, and the ambassador saw another boot."""

    def refused(path: Path) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    (tmp_path / "boot_id").write_text("00000000-0000-0000-0000-000000000000\n")
    monkeypatch.setattr(docker_ambassadors, "connect_door", refused)
    monkeypatch.setattr(docker_ambassadors, "_BOOT_ID", tmp_path / "boot_id")
    session = Session(settings=Settings(runtime="docker", base_image=BASE), root=tmp_path)
    try:
        with session.start(_echo_system()) as cluster:
            assert _says(cluster, "n1", b"hello") == b"hello"
            assert "-relay" in " ".join(left_of(session.run_id))
    finally:
        session.close()
    assert left_of(session.run_id) == []


def _says(cluster: Cluster, node: str, words: bytes) -> bytes:
    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(*cluster.address(node, "tcp"))
        writer.write(words)
        try:
            async with asyncio.timeout(2.5):  # a refusal that takes as long as the kernel's own (3 s) is none
                return await reader.read(len(words))
        finally:
            writer.transport.abort()

    return asyncio.run(talk())


def _exec(cluster: Cluster, node: str, program: str) -> int:
    sdk = client()
    try:
        container = sdk.containers.get(cluster.live.runtime._members[node].id)
        return int(container.exec_run(["python3", "-c", program]).exit_code)
    finally:
        sdk.close()
