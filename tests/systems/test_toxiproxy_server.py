"""Where the Toxiproxy behind the relay comes from: a program, an image, a server that runs; and that nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pytest_coordchaos import CapabilityError, Session, StartError, Status, UsageError
from pytest_coordchaos.relay.toxiproxy.model import Proxy
from pytest_coordchaos.relay.toxiproxy.names import run_prefix
from pytest_coordchaos.run import InvariantRequest, TestRequest
from pytest_coordchaos.settings import Settings
from tests.real_toxiproxy import BINARY, RealToxiproxy, real_toxiproxy, require_toxiproxy
from tests.requirements import require
from tests.systems.docker.engine import BASE, client, left_of, no_engine
from tests.systems.mesh import ask, mesh_system
from tests.systems.toxiproxy_rig import SILENT, processes_of_port, session_with

pytestmark = pytest.mark.needs("toxiproxy")
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server as an image, as it is to be had from registries."""
    binary, why = require_toxiproxy(), no_engine()
    require("docker", why is None, why or "")
    context = tmp_path_factory.mktemp("image")
    shutil.copy(os.path.realpath(binary), context / "toxiproxy")
    (context / "Dockerfile").write_text(
        f'FROM {BASE}\nCOPY toxiproxy /toxiproxy\nENTRYPOINT ["/toxiproxy"]\nCMD ["-host=0.0.0.0"]\n'
    )
    name = f"coordchaos-test-toxiproxy:{os.getpid()}"
    sdk = client()
    sdk.images.build(path=str(context), tag=name, rm=True)
    yield name
    sdk.images.remove(name, force=True)
    sdk.close()


@pytest.mark.parametrize("runtime", ["process", "docker"])
@pytest.mark.parametrize("as_image", [False, True], ids=["program", "image"])
def test_programs_and_containers_behind_toxiproxy_as_program_and_as_image(
    tmp_path: Path, image: str, runtime: str, as_image: bool
) -> None:
    """Wherever nodes and Toxiproxy run, it is this machine's network in which it dials them."""
    from reference_systems.raft_kv.system import system

    server = f"image:{image}" if as_image else str(BINARY)
    session = Session(settings=Settings(proxy="toxiproxy", toxiproxy=server, runtime=runtime, base_image=BASE), root=tmp_path)
    try:
        with session.start(system(nodes=3)) as kv:
            session.begin_test(TestRequest(test="containers", seed=3, invariants=LINEARIZABLE))
            run = kv.run("register", seconds=3, faults=["partition:halves", "kill:leader"])
            session.end_test()
    finally:
        session.close()

    assert (run.runtime, run.proxy) == (runtime, "toxiproxy")
    assert {verdict.status for verdict in run.verdicts} == {Status.HELD}, run.verdicts
    assert all(fault.verified for fault in run.faults), run.faults
    assert not run.ledger.bypasses
    assert left_of(session.run_id) == []


def test_an_image_that_is_not_there_is_one_sentence(tmp_path: Path, image: str) -> None:
    with session_with(tmp_path, "image:coordchaos-test-nowhere:1") as session:
        with pytest.raises((StartError, CapabilityError), match="coordchaos-test-nowhere"):
            session.portal.call(session._start(mesh_system(2), tmp_path / "one"))
        assert left_of(session.run_id) == []


def test_a_server_that_runs_is_shared_and_strangers_proxies_are_left_alone(tmp_path: Path) -> None:
    """Ours are made and taken away under names of our own; those that a dead run left are taken away at the start."""
    with real_toxiproxy() as server:
        client = server.client()
        stranger = client.create(Proxy(name="stranger", upstream="127.0.0.1:1"))
        dead = client.create(Proxy(name=_prefix_of_the_dead() + "n1.n2.peer", upstream="127.0.0.1:1"))
        alive = client.create(Proxy(name=run_prefix() + "n1.n2.peer", upstream="127.0.0.1:1"))
        with session_with(tmp_path, _text(server)) as session, session.start(mesh_system(2)) as cluster:
            during = set(client.proxies())
            with cluster.partition({"n1"}, {"n2"}) as fault:
                assert fault.verified
                assert ask(cluster, "n1", "n2") in SILENT
            assert ask(cluster, "n1", "n2") == "hello"
            assert not cluster.ledger().bypasses
        after = set(client.proxies())

    assert {stranger.name, alive.name} <= during
    assert dead.name not in during
    assert len(during) == 2 + 2 * 2 + 2 * 2
    assert after == {stranger.name, alive.name}


def _text(server: RealToxiproxy) -> str:
    return f"{server.address[0]}:{server.address[1]}"


def _prefix_of_the_dead() -> str:
    """What a process that has ended would have called its proxies."""
    code = "from pytest_coordchaos.relay.toxiproxy.names import run_prefix; print(run_prefix())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_start_that_fails_leaves_nothing_on_a_shared_server(tmp_path: Path) -> None:
    with real_toxiproxy() as server, session_with(tmp_path, _text(server)) as session:
        broken = replace(mesh_system(2), command=[sys.executable, "-c", "raise SystemExit(3)"])
        with pytest.raises(StartError), session.start(broken):
            pass
        left = server.client().proxies()

    assert left == {}


@pytest.mark.parametrize(
    ("toxiproxy", "kind", "words"),
    [
        ("/nowhere/toxiproxy-server", UsageError, "there is no such program; allowed: a program"),
        ("127.0.0.1:9", StartError, "No Toxiproxy answers at 127.0.0.1:9"),
        (sys.executable, StartError, "did not start"),
    ],
)
def test_a_server_that_cannot_be_had_is_one_sentence(tmp_path: Path, toxiproxy: str, kind: type[Exception], words: str) -> None:
    require_toxiproxy()
    with session_with(tmp_path, toxiproxy) as session, pytest.raises(kind, match=words) as refused, session.start(mesh_system(2)):
        pass

    assert str(refused.value).splitlines()[0].count(". ") == 0


def test_killing_pytest_leaves_no_toxiproxy(tmp_path: Path) -> None:
    require_toxiproxy()
    (tmp_path / "test_long.py").write_text(
        "import time\n"
        "from tests.systems.mesh import mesh_system\n"
        "def test_long(coordchaos):\n"
        "    with coordchaos.start(mesh_system(2)) as cluster:\n"
        "        print(cluster.live.relay._server.client.address[1], flush=True)\n"
        "        time.sleep(600)\n"
    )
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "--coordchaos",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'base'}",
    ]
    argv += ["--coordchaos-proxy=toxiproxy", f"--coordchaos-toxiproxy={BINARY}", "test_long.py"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as pytest_process:
        assert pytest_process.stdout is not None
        port = next(int(line) for line in pytest_process.stdout if line.strip().isdigit())
        (server,) = processes_of_port(port)
        pytest_process.send_signal(signal.SIGKILL)

    _wait(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
