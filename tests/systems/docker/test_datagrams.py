"""Containers that gossip over UDP: their datagrams cross links too, each node with addresses of its own or all with one set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_coordchaos import Cluster, Session
from tests.systems.docker.engine import BASE
from tests.systems.test_datagrams import PROGRAM, acknowledged, gossip_system, heard, spread, wait_for

COMMAND = "python3 -I -S {dir}/gossip.py {name} {bind:gossip} {bind:client} {peers:gossip:%n=%a}"


@pytest.fixture(scope="module", params=["per-node", "shared"])
def gossip(request: pytest.FixtureRequest, containers: Session) -> Iterator[Cluster]:
    """Three containers, their links at addresses of their own, or told apart by who sends."""
    files = {"gossip.py": PROGRAM.read_text()}
    system = gossip_system(image=BASE, command=COMMAND.split(), files=files, addresses=request.param)
    with containers.start(system) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(gossip: Cluster) -> Iterator[None]:
    """Every test ends with nothing in force."""
    yield
    gossip.heal()
    gossip.wait_healed()


def test_datagrams_cross_links_both_ways_and_are_counted_for_their_pair(gossip: Cluster) -> None:
    spread(gossip, "n1", "news")
    gossip.wait_until(lambda: acknowledged(gossip, "n1", "news") == 2)
    messages = [message for message in gossip.ledger() if message.link.port == "gossip"]

    rumours = {(one.sender, one.receiver) for one in messages if one.message_class == "rumour"}
    assert {("n1", "n2"), ("n1", "n3")} <= rumours
    assert {("n2", "n1"), ("n3", "n1")} <= {(one.sender, one.receiver) for one in messages if one.message_class == "ack"}
    assert {(one.link.source, one.link.target) for one in messages} == {("n1", "n2"), ("n1", "n3")}
    assert not gossip.ledger().bypasses


def test_pairs_are_cut_and_held_one_by_one(gossip: Cluster) -> None:
    with gossip.partition({"n1"}, {"n2"}) as cut, gossip.hold("n3", "n2") as hold:
        assert cut.verified
        assert hold.verified
        spread(gossip, "n1", "from n1")
        wait_for(gossip, "n3", "from n1")
        spread(gossip, "n3", "from n3")
        wait_for(gossip, "n1", "from n3")
        assert heard(gossip, "n2", "from n1") == heard(gossip, "n2", "from n3") == 0
    wait_for(gossip, "n2", "from n3")
    spread(gossip, "n1", "after the heal")
    wait_for(gossip, "n2", "after the heal")
    assert heard(gossip, "n2", "from n1") == 0


def test_what_a_dead_container_was_told_is_lost_and_it_gossips_again_when_it_is_back(gossip: Cluster) -> None:
    spread(gossip, "n1", "before")
    wait_for(gossip, "n2", "before")
    with gossip.kill("n2"):
        spread(gossip, "n1", "to nobody")
        wait_for(gossip, "n3", "to nobody")
        to_n2 = [one for one in gossip.ledger() if one.message_class == "rumour" and one.receiver == "n2"]
        assert to_n2[-1].delivered_ns is None
    spread(gossip, "n1", "back")
    wait_for(gossip, "n2", "back")
    assert heard(gossip, "n2", "to nobody") == 0
    spread(gossip, "n2", "its own")
    wait_for(gossip, "n1", "its own")


def test_a_delay_and_a_copy_are_kept_apart(gossip: Cluster) -> None:
    with gossip.slow("n1", "n2", one_way_ms=30), gossip.duplicate("n1", "n2", rate=1, classes={"rumour"}) as fault:
        assert fault.verified
        spread(gossip, "n1", "twice")
        wait_for(gossip, "n2", "twice", times=2)
        wait_for(gossip, "n3", "twice")
