"""The verbs of a cluster, on real processes behind the relay: what each does, and that undo is right in any order."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from pytest_coordchaos import (
    Client,
    Cluster,
    FaultError,
    Port,
    Request,
    StartError,
    System,
    UsageError,
    Workload,
    ready_log,
    ready_port,
)
from pytest_coordchaos.runtimes.base import NodeState
from tests.systems.mesh import ask, mesh_system, tell

SILENT = ("error TimeoutError", "closed")


@pytest.fixture(scope="module")
def mesh(session):
    with session.start(mesh_system(3)) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(mesh: Cluster):
    """Every test starts and ends with nothing in force."""
    yield
    mesh.heal()
    mesh.wait_healed()
    assert mesh.faults == ()


def test_a_partition_cuts_both_ways_and_leaves_the_others_alone(mesh: Cluster) -> None:
    with mesh.partition({"n1"}, {"n2"}) as fault:
        assert fault.verified
        assert ask(mesh, "n1", "n2") in SILENT
        assert ask(mesh, "n2", "n1") in SILENT
        assert ask(mesh, "n1", "n3") == "hello"
        assert ask(mesh, "n3", "n2") == "hello"

    assert ask(mesh, "n1", "n2") == "hello"


def test_a_cut_is_one_way(mesh: Cluster) -> None:
    """cut(n1, n2) stops what n1 says to n2, not what n2 says to n1."""
    with mesh.cut("n1", "n2"):
        tell(mesh, "n1", {"type": "tell", "to": "n2", "text": "lost"})
        tell(mesh, "n2", {"type": "tell", "to": "n1", "text": "arrives"})
        mesh.wait_until(lambda: "arrives" in tell(mesh, "n1", {"type": "received"}))
        assert ask(mesh, "n2", "n1", "question arrives, answer does not") in SILENT
        assert "question arrives, answer does not" in tell(mesh, "n1", {"type": "received"})
        assert "lost" not in tell(mesh, "n2", {"type": "received"})


def test_isolate_cuts_a_node_from_all_others_but_not_from_clients(mesh: Cluster) -> None:
    with mesh.isolate("n2"):
        assert ask(mesh, "n2", "n1") in SILENT
        assert ask(mesh, "n3", "n2") in SILENT
        assert ask(mesh, "n1", "n3") == "hello"
        assert isinstance(tell(mesh, "n2", {"type": "received"}), list)


def test_clients_are_cut_only_when_named(mesh: Cluster) -> None:
    with mesh.partition({"clients"}, {"n1"}), pytest.raises((TimeoutError, ConnectionError)):
        tell(mesh, "n1", {"type": "received"}, timeout_s=0.3)

    assert isinstance(tell(mesh, "n1", {"type": "received"}), list)


def test_slow_delays_one_direction_by_at_least_what_was_asked(mesh: Cluster) -> None:
    with mesh.slow("n1", "n3", one_way_ms=120):
        started = time.monotonic()
        assert ask(mesh, "n1", "n3") == "hello"
        there_and_back_s = time.monotonic() - started

    assert there_and_back_s >= 0.120


def test_delays_of_several_faults_add_up(mesh: Cluster) -> None:
    with mesh.slow("n1", "n3", one_way_ms=80), mesh.slow("n1", "n3", one_way_ms=70), mesh.slow("n3", "n1", one_way_ms=60):
        started = time.monotonic()
        assert ask(mesh, "n1", "n3") == "hello"

        assert time.monotonic() - started >= 0.210


def test_refuse_closes_and_refuses(mesh: Cluster) -> None:
    with mesh.refuse("n1", "n2"):
        assert ask(mesh, "n1", "n2").startswith("error Connection")
        assert ask(mesh, "n2", "n1") == "hello"

    assert ask(mesh, "n1", "n2") == "hello"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_overlapping_faults_undo_in_any_order(mesh: Cluster, order: tuple[int, ...]) -> None:
    faults = [mesh.partition({"n1"}, {"n2", "n3"}), mesh.cut("n1", "n2"), mesh.isolate("n1")]
    for last, index in enumerate(order):
        assert ask(mesh, "n1", "n2") in SILENT, f"after {last} undos"
        faults[index].undo()
        faults[index].undo()

    assert ask(mesh, "n1", "n2") == "hello"


def test_a_killed_node_refuses_and_comes_back_on_the_same_ports(mesh: Cluster) -> None:
    address = mesh.address("n2", "client")
    with mesh.kill("n2"):
        assert mesh.state("n2") is NodeState.DEAD
        assert ask(mesh, "n1", "n2") in (*SILENT, "error ConnectionRefusedError", "error ConnectionResetError")

    assert mesh.address("n2", "client") == address
    assert ask(mesh, "n1", "n2") == "hello"
    assert ask(mesh, "n2", "n1") == "hello"


def test_a_program_that_does_not_reuse_addresses_restarts_at_once(session, tmp_path: Path) -> None:
    """Connections it had when it was killed must not keep its port in TIME_WAIT."""
    program = tmp_path / "strict.py"
    program.write_text(
        "import socketserver, sys\n"
        "class Echo(socketserver.StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        for line in self.rfile: self.wfile.write(line)\n"
        "class Strict(socketserver.ThreadingTCPServer): daemon_threads = True\n"
        "Strict(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()\n"
    )
    port = Port("client", protocol="json-lines")
    system = System(
        name="strict", nodes=1, ports=[port], command=[sys.executable, str(program), "{port:client}"], ready=ready_port("client")
    )
    with session.start(system) as cluster:
        for _ in range(3):
            with socket.create_connection(cluster.address("n1", "client")) as one, one.makefile("rw") as lines:
                print("hello", file=lines, flush=True)
                assert lines.readline() == "hello\n"
                kill = cluster.kill("n1")
                with pytest.raises(ConnectionResetError):
                    lines.readline()
            kill.undo()
            assert cluster.state("n1") is NodeState.RUNNING


def test_a_paused_node_is_silent_and_goes_on(mesh: Cluster) -> None:
    with mesh.pause("n3"):
        assert mesh.state("n3") is NodeState.PAUSED
        assert ask(mesh, "n1", "n3") in SILENT

    assert ask(mesh, "n1", "n3") == "hello"


def test_a_node_restarted_under_pause_comes_up_paused(mesh: Cluster) -> None:
    pause = mesh.pause("n3")
    kill = mesh.kill("n3")
    kill.undo()
    assert mesh.state("n3") is NodeState.PAUSED
    pause.undo()
    mesh.wait_healed()

    assert ask(mesh, "n1", "n3") == "hello"


def test_heal_undoes_everything_and_restarts_the_dead(mesh: Cluster) -> None:
    mesh.partition({"n1"}, {"n2", "n3"})
    mesh.slow("n2", "n3", one_way_ms=400)
    mesh.pause("n1")
    mesh.kill("n2")
    mesh.heal()
    mesh.wait_healed()

    assert mesh.faults == ()
    assert [ask(mesh, a, b) for a, b in itertools.permutations(mesh.nodes, 2)] == ["hello"] * 6


def test_heal_restarts_a_node_that_died_by_itself(mesh: Cluster) -> None:
    """Nobody called kill: there is no handle to undo, and the node is dead all the same."""
    (victim,) = [process for process in psutil.process_iter() if _runs_in(process, mesh.directory / "n2")]
    victim.kill()
    mesh.wait_until(lambda: mesh.state("n2") is NodeState.DEAD, what="n2 is dead")
    mesh.heal()
    mesh.wait_healed()

    assert ask(mesh, "n1", "n2") == "hello"


def _runs_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()) == directory and "mesh_node.py" in " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return False


def test_wait_healed_refuses_to_wait_for_what_is_still_in_force(mesh: Cluster) -> None:
    with mesh.cut("n1", "n2"), pytest.raises(FaultError, match=r"still in force: cut n1 -> n2.*heal\(\)"):
        mesh.wait_healed()


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [
        (lambda mesh: mesh.cut("n1", "n9"), "no node 'n9'; the system's nodes are: n1, n2, n3"),
        (lambda mesh: mesh.partition({"n1"}), "two or more groups"),
        (lambda mesh: mesh.partition({"n1", "n2"}, {"n2"}), "cut nothing"),
        (lambda mesh: mesh.slow("n1", "n2", one_way_ms=-1), "one_way_ms=-1 is not allowed"),
        (lambda mesh: mesh.cut("n1", "n1"), "a node has no link to itself"),
        (lambda mesh: mesh.slow("n1", "n2", one_way_ms="5"), "one_way_ms='5' is not allowed"),
        (lambda mesh: mesh.isolate("clients"), "no node 'clients'"),
        (lambda mesh: mesh.resume("n9"), "no node 'n9'"),
        (lambda mesh: mesh.record("put", node="n9"), "no node 'n9'"),
        (lambda mesh: mesh.run("register", faults="slow"), "is one text; allowed: a list of fault words"),
        (lambda mesh: mesh.run("register", seconds="1"), "seconds='1' is not allowed"),
        (lambda mesh: mesh.restart("n1"), "the node is alive"),
        (lambda mesh: mesh.leader(), "has no role 'leader'"),
        (lambda mesh: mesh.run("register"), "brings no such workload"),
        (lambda mesh: mesh.address("n1", "sql"), "has no port 'sql'; it has: peer, client"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(mesh: Cluster, verb, sentence: str) -> None:
    with pytest.raises(UsageError, match=None) as caught:
        verb(mesh)

    assert sentence in str(caught.value)
    assert mesh.faults == ()


def test_a_port_that_the_system_does_not_have_is_not_waited_for(session) -> None:
    system = System(name="typo", nodes=1, ports=[Port("client")], command=["sleep", "60"], ready=ready_port("cleint"))
    with pytest.raises(UsageError, match="has no port 'cleint'; it has: client"), session.start(system):
        pytest.fail("it must not start")


def test_a_node_that_exits_at_start_shows_its_last_lines(session, tmp_path) -> None:
    system = System(
        name="broken",
        nodes=2,
        command=["sh", "-c", "echo about to fail; echo reason: disk on fire >&2; exit 3"],
        ready=ready_log("never"),
    )
    with pytest.raises(StartError, match=r"(?s)n[12] .*3.*disk on fire"), session.start(system):
        pytest.fail("it must not start")


def test_a_node_that_does_not_come_back_ends_the_run_with_its_last_lines(session, tmp_path: Path) -> None:
    """A program that starts once and never again: the plan's restart fails, and the run says so in one sentence."""
    once = tmp_path / "once"
    program = (
        "import pathlib, socketserver, sys; once = pathlib.Path(sys.argv[1])\n"
        "if once.exists(): print('refuses to start again'); sys.exit(4)\n"
        "once.touch(); socketserver.TCPServer(('127.0.0.1', int(sys.argv[2])), socketserver.BaseRequestHandler).serve_forever()"
    )
    client = Client(connect=lambda cluster, node: node, call=lambda connection, call: None)
    command = [sys.executable, "-c", program, str(once), "{port:client}"]
    system = System(name="once", nodes=1, ports=[Port("client")], command=command, ready=ready_port("client"), client=client)
    workload = Workload(name="nothing", requests=lambda rng: iter([Request(f="get", key="k")] * 3), rate_per_s=10)
    with session.start(system) as cluster, pytest.raises(StartError, match=r"(?s)n1.*4.*refuses to start again"):
        cluster.run(workload, seconds=2, faults=["kill:n1"])


def test_a_node_that_never_gets_ready_names_condition_and_node(session) -> None:
    system = System(
        name="mute",
        nodes=1,
        ports=[Port("client")],
        command=["sh", "-c", "echo waiting; exec sleep 60"],
        ready=ready_port("client"),
        ready_timeout_s=0.5,
    )
    with pytest.raises(StartError, match=r"(?s)n1.*port client accepts.*waiting"), session.start(system):
        pytest.fail("it must not start")
