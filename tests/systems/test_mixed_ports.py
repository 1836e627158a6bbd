"""Nodes with ports of their own: links only where somebody listens, one view of peers, faults and restarts as ever."""

from __future__ import annotations

import sys

import pytest

from pytest_coordchaos import CLIENTS, Cluster, LinkId, Node, NodeProbe, Port, System, UsageError, ready_log, ready_port
from tests.systems.mesh import PROGRAM, ask

STORE, FRONT = Port("store", protocol="json-lines"), Port("front", protocol="json-lines")
ASKED = Port("client", protocol="json-lines")
COMMAND = [sys.executable, "-S", str(PROGRAM), "{name}"]


async def claims(probe: NodeProbe) -> bool:
    """Asked of every node; only the stores have the port."""
    _, writer = await probe.open("store")
    writer.close()
    return True


def mixed_system(addresses: str) -> System:
    """One store, two fronts that know it, and a node that listens nowhere."""
    front = [*COMMAND, "{bind:front}", "{bind:client}", "{peers:store:%n=%a},{peers:front:%n=%a}"]
    return System(
        name="mixed",
        nodes=[
            Node("db", ports=[STORE, ASKED], command=[*COMMAND, "{bind:store}", "{bind:client}", "{peers:front:%n=%a}"]),
            Node("web-1", command=front),
            Node("web-2", command=front),
            Node("idle", ports=[], command=["sh", "-c", "echo up; exec sleep 1000"], ready=ready_log("up")),
        ],
        ports=[FRONT, ASKED],
        ready=ready_port("client"),
        addresses=addresses,
        roles={"primary": claims, "typo": lambda probe: probe.open("stroe")},  # type: ignore[dict-item]  # a mistake
    )


@pytest.fixture(scope="module", params=["per-node", "shared"])
def mixed(session, request: pytest.FixtureRequest):
    with session.start(mixed_system(request.param)) as cluster:
        yield cluster


def test_links_lead_only_to_ports_that_the_target_has(mixed: Cluster) -> None:
    links = {str(link) for link in mixed.live.links if link.port != "client"}

    assert links == {
        *("web-1->db:store", "web-2->db:store", "idle->db:store", f"{CLIENTS}->db:store"),
        *("db->web-1:front", "web-2->web-1:front", "idle->web-1:front", f"{CLIENTS}->web-1:front"),
        *("db->web-2:front", "web-1->web-2:front", "idle->web-2:front", f"{CLIENTS}->web-2:front"),
    }


def test_pairs_with_different_ports_are_cut_and_healed(mixed: Cluster) -> None:
    with mixed.cut("web-1", "db", both_ways=True) as cut:
        assert cut.verified
        assert ask(mixed, "web-1", "db") in ("error TimeoutError", "closed")
        assert ask(mixed, "web-2", "db") == "hello"
    assert ask(mixed, "web-1", "db") == "hello"
    assert ask(mixed, "db", "web-2") == "hello"

    seen = {message.link for message in mixed.ledger() if message.link.source != CLIENTS}
    assert seen >= {LinkId("web-1", "db", "store"), LinkId("db", "web-2", "front")}


def test_a_node_without_ports_is_killed_and_restarted(mixed: Cluster) -> None:
    with mixed.kill("idle"), mixed.kill("db"):
        assert str(mixed.state("idle")) == "dead"
    mixed.wait_healed()

    assert ask(mixed, "web-1", "db") == "hello"


def test_a_role_of_some_nodes_is_found_among_all(mixed: Cluster) -> None:
    assert mixed.role("primary") == "db"
    with pytest.raises(UsageError, match="has no port 'stroe'"):
        mixed.role("typo")


def test_what_no_link_carries_is_refused(mixed: Cluster) -> None:
    with pytest.raises(UsageError, match="Node web-1 has no port 'store'; it has: front, client"):
        mixed.address("web-1", "store")
    with pytest.raises(UsageError, match="refuse db -> idle: no link joins them"):
        mixed.refuse("db", "idle")
    assert mixed.cut("db", "idle").verified  # by what idle may say to db
    mixed.heal()
