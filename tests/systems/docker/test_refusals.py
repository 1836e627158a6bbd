"""What cannot be is one clear sentence, and nothing half-started."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_coordchaos import CapabilityError, Port, Session, StartError, System, UsageError
from pytest_coordchaos.runtimes import docker_ambassadors
from pytest_coordchaos.runtimes.docker_relay import check_near
from pytest_coordchaos.settings import Settings
from reference_systems.raft_kv.system import system as raft_kv
from tests.systems.docker.engine import BASE, client, left_of

BARE = "coordchaos-test-bare:latest"


@pytest.fixture
def bare() -> Iterator[str]:
    """An image with nothing in it but one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    sdk = client()
    sdk.api.import_image_from_data(out.getvalue(), repository=BARE.partition(":")[0], tag="latest")
    yield BARE
    sdk.images.remove(BARE, force=True)
    sdk.close()


def _refused(system: System, root: Path, error: type[Exception], **settings: str) -> str:
    """The sentence with which a start is refused; nothing is left of it."""
    session = Session(settings=Settings(**{"runtime": "docker", "base_image": BASE, **settings}), root=root)
    try:
        with pytest.raises(error) as caught, session.start(system):
            pass
    finally:
        session.close()
    assert left_of(session.run_id) == []
    return str(caught.value)


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    session = Session(settings=Settings(runtime="docker"), root=tmp_path)
    with pytest.raises(CapabilityError) as caught, session.start(raft_kv()):
        pass
    session.close()

    why = "start one, or set DOCKER_HOST; runtime 'process' needs none"
    assert str(caught.value) == f"No container engine answers at unix://{tmp_path}/nobody.sock: {why}"


def test_auto_falls_back_to_processes_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    session = Session(settings=Settings(runtime="auto"), root=tmp_path)
    with session.start(raft_kv()) as cluster:
        runtime, reason = cluster.live.runtime.name, cluster.live.runtime_reason
    session.close()

    assert runtime == "process"
    assert reason.startswith(f"auto: No container engine answers at unix://{tmp_path}/nobody.sock")


def test_auto_prefers_containers_where_an_engine_answers(tmp_path: Path) -> None:
    session = Session(settings=Settings(runtime="auto", base_image=BASE), root=tmp_path)
    with session.start(raft_kv()) as cluster:
        runtime, reason = cluster.live.runtime.name, cluster.live.runtime_reason
    session.close()

    assert (runtime, reason) == ("docker", "auto: an engine answers")


@pytest.mark.skipif(os.getuid() == 0, reason="root may use every socket")
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user would see it: nothing may connect to the socket."""
    import socket

    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "engine.sock"))
        engine.listen()
        os.chmod(tmp_path / "engine.sock", 0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        session = Session(settings=Settings(runtime="docker"), root=tmp_path)
        with pytest.raises(CapabilityError, match="may not be used by this user"), session.start(raft_kv()):
            pass
        session.close()


def test_an_image_that_cannot_be_had(tmp_path: Path) -> None:
    said = _refused(System(nodes=1, image="localhost:1/no/such:image"), tmp_path, StartError)

    assert "The image 'localhost:1/no/such:image' is not there and cannot be pulled: " in said


def test_a_base_image_that_cannot_be_had(tmp_path: Path) -> None:
    said = _refused(raft_kv(), tmp_path, StartError, base_image="localhost:1/no/base:image")

    assert said.startswith("The image 'localhost:1/no/base:image' is not there and cannot be pulled: ")
    assert "--coordchaos-base-image (COORDCHAOS_BASE_IMAGE) names another one with python3" in said


def test_a_base_image_without_python(tmp_path: Path, bare: str) -> None:
    said = _refused(raft_kv(), tmp_path, StartError, base_image=bare)

    assert said == f"The base image {bare!r} has no python3; --coordchaos-base-image names another one"


def test_a_command_without_an_image(tmp_path: Path) -> None:
    said = _refused(System(name="s", nodes=1, command=["true"]), tmp_path, UsageError)

    assert said == (
        "runtime docker was asked for, but System('s') gives only a command; give image='…' with that program in it too, "
        "or use runtime process"
    )


def test_an_image_without_a_command_as_processes(tmp_path: Path) -> None:
    said = _refused(System(name="s", nodes=1, image="x"), tmp_path, UsageError, runtime="process")

    assert (
        said == "runtime process was asked for, but System('s') gives only an image; give command=[…] too, or use runtime docker"
    )


def test_limits_of_processes(tmp_path: Path) -> None:
    said = _refused(System(name="s", nodes=1, command=["true"], memory_mb=64), tmp_path, CapabilityError, runtime="process")

    assert said == "System('s'): runtime process cannot limit cpus= and memory_mb=; --coordchaos-runtime=docker can"


def test_an_image_whose_program_is_not_there(tmp_path: Path) -> None:
    said = _refused(System(nodes=1, image=BASE, command=["no-such-db"], ports=[Port("p")]), tmp_path, StartError)

    assert said == "Node n1 did not start: cannot run 'no-such-db': No such file or directory (command: no-such-db)"


def test_an_engine_on_another_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an engine in a virtual machine: the door is there and leads nowhere, and the ambassador saw another boot."""

    def refused(path: Path) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    (tmp_path / "boot_id").write_text("00000000-0000-0000-0000-000000000000\n")
    monkeypatch.setattr(docker_ambassadors, "connect_door", refused)
    monkeypatch.setattr(docker_ambassadors, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setattr(docker_ambassadors, "_READY_S", 2.0)
    said = _refused(raft_kv(), tmp_path, CapabilityError, relay="host")

    assert "does not run on this machine's kernel" in said
    assert "a relay on this machine cannot reach its containers; --coordchaos-relay=container runs it as one of them" in said


def test_an_engine_on_another_host() -> None:
    check_near("unix:///run/docker.sock")
    check_near("http+unix:///run/docker.sock")
    check_near("tcp://127.0.0.1:2375")
    for address in ("tcp://198.51.100.7:2376", "ssh://build.example"):
        with pytest.raises(CapabilityError) as caught:
            check_near(address)
        assert str(caught.value) == (
            f"The container engine at {address} is on another host: what its relay publishes on that host's loopback cannot be "
            "reached from here. Run pytest on that host; or use runtime 'process'"
        )


def test_a_toxiproxy_behind_a_relay_in_a_container(tmp_path: Path) -> None:
    said = _refused(raft_kv(), tmp_path, CapabilityError, relay="container", proxy="toxiproxy", toxiproxy="127.0.0.1:1")

    assert said == "A relay in a container (--coordchaos-relay) takes no Toxiproxy behind it: use proxy 'relay'"
