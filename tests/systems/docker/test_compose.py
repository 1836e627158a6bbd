"""An unmodified compose project, its services unaware: cut pair by pair, slowed, killed, paused, healed, counted."""

from __future__ import annotations

import dataclasses
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos import Cluster, LinkId, Port, Session, StartError, System
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.docker_sweep import RUN
from tests.systems.docker.compose_rig import PROJECTS, free_port, get, request
from tests.systems.docker.engine import BASE, client

PORTS = {
    "db": [Port("store", number=5432, protocol="json-lines")],
    "cache": [Port("store", number=6379, protocol="json-lines")],
    "api": [Port("http", number=8000, protocol="http1")],
    "page": [Port("http", number=8000, protocol="http1")],
}
SCHEMA = (200, {"type": "value", "value": 1})
CUT_OFF = (504, {"error": "TimeoutError"})


def notes_system(**given: Any) -> System:
    """The project as it is in the fixtures."""
    environ = {"COORDCHAOS_BASE_IMAGE": BASE, "API_PORT": str(free_port())}
    return System.from_compose(PROJECTS / "notes", ports=PORTS, **{"environ": environ, **given})


@pytest.fixture(scope="module")
def notes(containers: Session) -> Iterator[Cluster]:
    with containers.start(notes_system()) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of the cluster ends with nothing in force."""
    yield
    if "notes" in request.fixturenames:
        notes = request.getfixturevalue("notes")
        notes.heal()
        notes.wait_healed()


def test_services_find_each_other_by_name_and_the_job_ran_first(notes: Cluster) -> None:
    assert notes.nodes == ("db", "cache-1", "cache-2", "api", "page")
    assert get(notes, "api", "/schema") == SCHEMA
    assert get(notes, "page", "/schema") == SCHEMA
    assert "{'type': 'stored'}" in notes.live.runtime.log("migrate")


def test_the_published_host_port_is_the_clients_link(notes: Cluster) -> None:
    published = notes.system.members[3].recipe.publish["http"]  # type: ignore[union-attr]  # the api has one

    assert notes.address("api", "http") == published
    assert request(*published, "GET", "/schema") == SCHEMA
    with notes.refuse("clients", "api"), pytest.raises(ConnectionError):
        request(*published, "GET", "/schema")


def test_pairs_are_cut_one_by_one(notes: Cluster) -> None:
    with notes.cut("api", "db", both_ways=True) as cut:
        assert cut.verified
        assert get(notes, "api", "/schema") == CUT_OFF
        assert get(notes, "api", "/cache-1:6379/x") == (200, {"type": "value", "value": None})
    with notes.partition({"api"}, {"cache-1"}):
        assert get(notes, "api", "/cache-1:6379/x") == CUT_OFF
        assert get(notes, "api", "/cache-2:6379/x")[0] == 200
        assert get(notes, "page", "/schema") == SCHEMA

    assert get(notes, "api", "/schema") == SCHEMA


def test_a_cut_is_one_way(notes: Cluster) -> None:
    """What the api asks arrives and is done; the answer does not come."""
    with notes.cut("db", "api"):
        assert request(*notes.address("api", "http"), "PUT", "/one-way", 7)[0] == 504

    assert get(notes, "api", "/one-way") == (200, {"type": "value", "value": 7})


def test_replicas_stand_behind_one_name_and_have_names_of_their_own(notes: Cluster) -> None:
    def seen() -> set[str]:
        get(notes, "api", "/cache:6379/x")
        return {total.link.target for total in notes.ledger().totals if total.link.source == "api" and total.offered_bytes}

    notes.wait_until(lambda: {"cache-1", "cache-2"} <= seen(), what="both caches are asked")
    for name in ("cache-2", "notes-cache-2"):
        assert get(notes, "api", f"/{name}:6379/x")[0] == 200


def test_names_lead_to_the_service_itself_inside_of_it_and_to_links_elsewhere(notes: Cluster) -> None:
    own = {name: get(notes, name, f"/resolve/{name}")[1]["value"] for name in ("api", "page")}
    alias = get(notes, "page", "/resolve/notes.example")[1]["value"]

    assert own["api"] != own["page"]
    assert get(notes, "page", "/resolve/api")[1]["value"] == alias
    assert alias not in own.values()


def test_services_without_a_common_network_do_not_reach_each_other(notes: Cluster) -> None:
    assert LinkId("page", "db", "store") not in notes.live.links
    assert get(notes, "page", "/db:5432/schema")[0] == 504
    assert get(notes, "api", "/db:5432/schema")[0] == 200


def test_a_port_that_the_image_exposes_is_a_link(notes: Cluster) -> None:
    assert notes.address("db", "9999")
    assert "9999" in {port.name for port in notes.system.ports_of("page")}


def test_slow_delays_what_one_pair_says(notes: Cluster) -> None:
    with notes.slow("api", "db", one_way_ms=150):
        started = time.monotonic()
        assert get(notes, "api", "/schema")[0] == 200

        assert time.monotonic() - started >= 0.150


def test_a_killed_service_comes_back_with_its_data_and_its_address(notes: Cluster) -> None:
    assert request(*notes.address("api", "http"), "PUT", "/kept", "still here")[0] == 200
    with notes.kill("db"):
        assert notes.state("db") is NodeState.DEAD
        assert get(notes, "api", "/kept")[0] == 504
    notes.wait_healed()

    assert get(notes, "api", "/kept") == (200, {"type": "value", "value": "still here"})


def test_a_paused_service_answers_when_it_is_resumed(notes: Cluster) -> None:
    with notes.pause("db"):
        assert notes.state("db") is NodeState.PAUSED
        assert get(notes, "api", "/schema") == CUT_OFF

    assert get(notes, "api", "/schema") == SCHEMA


def test_what_a_request_costs_is_counted(notes: Cluster) -> None:
    before = len(list(notes.ledger()))
    assert get(notes, "api", "/schema")[0] == 200

    def crossed() -> list[str]:
        return sorted(f"{message.link} {message.message_class}" for message in list(notes.ledger())[before:])

    notes.wait_until(lambda: len(crossed()) >= 4, what="four messages are counted")
    assert [words for words in crossed() if words.startswith("api")] == ["api->db:store get", "api->db:store value"]
    assert len(crossed()) == 4


def volumes(session: Session) -> set[str]:
    """Names of the engine's volumes, but for those of other runs that are at work beside this one."""
    sdk = client()
    try:
        labels = {volume.name: volume.attrs.get("Labels") or {} for volume in sdk.volumes.list()}
        return {name for name, given in labels.items() if given.get(RUN, session.run_id) == session.run_id}
    finally:
        sdk.close()


def test_volumes_are_the_clusters_own_and_gone_with_it(containers: Session, notes: Cluster) -> None:
    assert request(*notes.address("api", "http"), "PUT", "/kept", 1)[0] == 200
    before = volumes(containers)
    with containers.start(notes_system(publish=False)) as other:
        assert get(other, "api", "/kept") == (200, {"type": "value", "value": None})
        made = volumes(containers) - before

    assert [name.rpartition("_")[2] for name in made] == ["data"]
    assert not made & volumes(containers)


@pytest.fixture
def outside() -> Iterator[str]:
    """A volume of somebody else."""
    name, sdk = f"theirs-{uuid.uuid4().hex[:8]}", client()
    sdk.volumes.create(name)
    yield name
    sdk.volumes.get(name).remove()
    sdk.close()


SMALL = """
name: small
services:
  one:
    image: ${BASE}
    command: sh -c "printf 1 >> /theirs/x; cat /theirs/x; exec sleep 1000"
    hostname: one
    volumes: ["theirs:/theirs", "./here:/here:ro"]
volumes: {theirs: {external: true, name: "${NAME}"}}
"""


def small_system(directory: Path, text: str = SMALL, **variables: str) -> System:
    """A project of one service, written here."""
    (directory / "compose.yaml").write_text(text)
    return System.from_compose(directory, environ={"BASE": BASE, **variables})


def test_bind_mounts_and_external_volumes_are_used_and_left(containers: Session, tmp_path: Path, outside: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("untouched")
    for lives in ("1", "11"):
        with containers.start(small_system(tmp_path, NAME=outside)) as cluster:
            cluster.wait_until(lambda lives=lives, cluster=cluster: cluster.log("one").split() == [lives])

    assert outside in volumes(containers)
    assert (tmp_path / "here" / "mine").read_text() == "untouched"


JOB = """
services:
  job: {image: "${BASE}", command: ["sh", "-c", "echo why not; exit 3"]}
  one: {image: "${BASE}", command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
"""
UNHEALTHY = """
services:
  one:
    image: "${BASE}"
    command: sleep 1000
    healthcheck: {test: "false", interval: 100ms, retries: 1}
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (JOB, r"Job job, which one waits for, ended with exit status 3 [^\n]*\n.*why not"),
        (SMALL, "The external volume 'nobody-has-this' is not there; make it with `docker volume create nobody-has-this`"),
        (
            "services: {one: {image: 'nobody.invalid/x', pull_policy: never}}",
            "'nobody.invalid/x' is not there, and is never to be pulled",
        ),
        ("services: {one: {build: {dockerfile_inline: 'FROM $${BASE}\nRUN false', args: {BASE: '${BASE}'}}}}", "cannot be built"),
        ("services: {one: {image: '${BASE}', command: /nowhere}}", "Node one did not start: .*nowhere"),
        (
            "services: {one: {image: '${BASE}', command: 'sh -c \"echo oh; exit 4\"', healthcheck: {test: 'true'}}}",
            "exited with exit status 4",
        ),
    ],
)
def test_a_project_that_cannot_run_says_why_in_one_sentence(
    containers: Session, tmp_path: Path, text: str, sentence: str
) -> None:
    system = small_system(tmp_path, text, NAME="nobody-has-this")
    before = volumes(containers)
    with pytest.raises(StartError, match=sentence), containers.start(system):
        pass
    assert volumes(containers) == before


def test_what_never_gets_healthy_is_named(containers: Session, tmp_path: Path) -> None:
    system = dataclasses.replace(small_system(tmp_path, UNHEALTHY), ready_timeout_s=3)
    with pytest.raises(
        StartError, match=r"Node one was not ready within 3 s, waiting for 'is healthy'.*health check says unhealthy"
    ):
        containers.start(system).__enter__()


def test_a_host_port_that_somebody_has_is_refused_by_name(containers: Session, tmp_path: Path) -> None:
    text = "services: {one: {image: '${BASE}', command: sleep 1000, ports: ['${PORT}:80']}}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        sentence = f"127.0.0.1:{port}, which service one publishes for its port 80: .*publish=False"
        with pytest.raises(StartError, match=sentence):
            containers.start(small_system(tmp_path, text, PORT=port)).__enter__()


def test_a_service_that_announces_its_own_address_is_seen_and_named(containers: Session) -> None:
    system = System.from_compose(PROJECTS / "announcing", environ={"COORDCHAOS_BASE_IMAGE": BASE})
    with containers.start(system) as cluster:
        cluster.wait_until(lambda: "reader dials" in cluster.log("reader"), what="the reader was told an address")
        cluster.wait_until(lambda: cluster.ledger().bypasses, what="the bypass is seen")
        sentence = cluster.ledger().bypasses[0]

    assert "broker" in sentence
    assert "reader" in sentence
    assert "round the relay" in sentence
