"""An unmodified compose project whose services speak UDP: by service name, from the host, cut and killed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pytest_coordchaos import Cluster, Port, Session, StartError, System
from tests.systems.docker.compose_rig import PROJECTS
from tests.systems.docker.engine import BASE


def names_system() -> System:
    """The project as it is in the fixtures, its server's port not declared."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        environ = {"COORDCHAOS_BASE_IMAGE": BASE, "NAMES_PORT": str(free.getsockname()[1])}
    return System.from_compose(PROJECTS / "names", ports={"reader": [Port("ask", number=7000)]}, environ=environ)


@pytest.fixture(scope="module")
def names(containers: Session) -> Iterator[Cluster]:
    with containers.start(names_system()) as cluster:
        yield cluster


def asked(cluster: Cluster, reader: str, name: str) -> str:
    """What the server answers a reader."""
    with socket.create_connection(cluster.address(reader, "ask"), timeout=10) as connection:
        connection.sendall(f"{name}\n".encode())
        with connection.makefile() as lines:
            return lines.readline().strip()


def until_answered(cluster: Cluster, reader: str) -> None:
    """The server may have accepted its port a moment later than the readers did: nobody can wait for a UDP port."""
    cluster.wait_until(lambda: asked(cluster, reader, "up") == "up is 2", what=f"the server answers {reader}")


def test_services_reach_each_other_by_name_and_are_counted_apart(names: Cluster) -> None:
    until_answered(names, "reader-1")
    assert asked(names, "reader-1", "one") == "one is 3"
    assert asked(names, "reader-2", "two-two") == "two-two is 7"
    sent = {(one.sender, one.size_bytes) for one in names.ledger() if one.link.port == "53-udp" and one.receiver == "server"}

    assert {("reader-1", 3), ("reader-2", 7)} <= sent
    assert ("reader-1", 7) not in sent
    assert not names.ledger().bypasses


def test_one_reader_is_cut_and_the_other_is_not(names: Cluster) -> None:
    until_answered(names, "reader-1")
    with names.partition({"reader-1"}, {"server"}) as fault:
        assert fault.verified
        assert asked(names, "reader-1", "lost") == "no answer"
        assert asked(names, "reader-2", "kept") == "kept is 4"
    assert asked(names, "reader-1", "healed") == "healed is 6"


def test_a_killed_server_answers_nobody_until_it_is_back(names: Cluster) -> None:
    until_answered(names, "reader-2")
    with names.kill("server"):
        assert asked(names, "reader-2", "dead") == "no answer"
    until_answered(names, "reader-2")


def test_the_published_host_port_is_the_clients_link(names: Cluster) -> None:
    until_answered(names, "reader-1")
    published = names.system.members[0].recipe.publish["53-udp"]  # type: ignore[union-attr]  # a compose project's node
    assert names.address("server", "53-udp") == published
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(published)
        sock.send(b"from the host")
        assert sock.recv(512) == b"from the host is 13"
        with names.refuse("clients", "server"):
            sock.settimeout(0.3)
            sock.send(b"refused")
            with pytest.raises(TimeoutError):
                sock.recv(512)


def test_a_host_port_that_is_taken_is_a_sentence(containers: Session) -> None:
    system = names_system()
    host, number = system.members[0].recipe.publish["53-udp"]  # type: ignore[union-attr]  # a compose project's node
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, number))
        sentence = rf"Nothing can listen on {host}:{number}, which service server publishes for its port 53-udp: Address already"
        with pytest.raises(StartError, match=sentence), containers.start(system):
            pass
