"""A program that gossips over UDP: its datagrams cross links too, are counted, and meet the same faults."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_coordchaos import Cluster, Port, Session, System, UsageError, ready_port
from tests.systems.mesh import tell

PROGRAM = Path(__file__).parent / "programs" / "gossip_node.py"


def gossip_system(nodes: int = 3, **given: object) -> System:
    """Nodes that tell each other rumours."""
    command = [sys.executable, "-S", str(PROGRAM), "{name}", "{bind:gossip}", "{bind:client}", "{peers:gossip:%n=%a}"]
    ports = [Port("gossip", transport="udp", protocol="json-lines"), Port("client", protocol="json-lines")]
    fields = {"name": "gossip", "command": command, "ready": ready_port("client"), **given}
    return System(nodes=nodes, ports=ports, **fields)  # type: ignore[arg-type]  # the tests' own fields


@pytest.fixture(scope="module")
def gossip(session: Session):
    with session.start(gossip_system()) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest):
    """Every test starts and ends with nothing in force."""
    yield
    if "gossip" in request.fixturenames:
        cluster = request.getfixturevalue("gossip")
        cluster.heal()
        cluster.wait_healed()


def spread(cluster: Cluster, node: str, text: str) -> None:
    """Let a node tell its peers."""
    tell(cluster, node, {"type": "spread", "text": text})


def heard(cluster: Cluster, node: str, text: str) -> int:
    """How often a node heard it."""
    times: int = tell(cluster, node, {"type": "look"})["heard"].count(text)
    return times


def acknowledged(cluster: Cluster, node: str, text: str) -> int:
    """How often its peers said so."""
    times: int = tell(cluster, node, {"type": "look"})["acknowledged"].count(text)
    return times


def wait_for(cluster: Cluster, node: str, text: str, times: int = 1) -> None:
    """Wait until a node heard it."""
    cluster.wait_until(lambda: heard(cluster, node, text) == times, what=f"{node} hears {text} {times} times")


def test_datagrams_cross_links_both_ways_and_are_counted(gossip: Cluster) -> None:
    spread(gossip, "n1", "news")
    gossip.wait_until(lambda: acknowledged(gossip, "n1", "news") == 2)
    messages = [message for message in gossip.ledger() if message.link.port == "gossip"]

    rumours = {(one.sender, one.receiver) for one in messages if one.message_class == "rumour"}
    assert {("n1", "n2"), ("n1", "n3")} <= rumours
    assert {("n2", "n1"), ("n3", "n1")} <= {(one.sender, one.receiver) for one in messages if one.message_class == "ack"}
    assert not gossip.ledger().bypasses


def test_a_partition_swallows_datagrams(gossip: Cluster) -> None:
    with gossip.partition({"n1"}, {"n2"}) as fault:
        assert fault.verified
        spread(gossip, "n1", "cut")
        wait_for(gossip, "n3", "cut")
        assert heard(gossip, "n2", "cut") == 0
    spread(gossip, "n1", "after the cut")
    wait_for(gossip, "n2", "after the cut")
    assert heard(gossip, "n2", "cut") == 0


def test_a_refusal_is_silence_for_datagrams(gossip: Cluster) -> None:
    with gossip.refuse("n1", "n2") as fault:
        assert fault.verified
        spread(gossip, "n1", "refused")
        wait_for(gossip, "n3", "refused")
        assert heard(gossip, "n2", "refused") == 0


def test_held_datagrams_arrive_after_the_heal(gossip: Cluster) -> None:
    with gossip.hold("n1", "n2") as fault:
        assert fault.verified
        spread(gossip, "n1", "held")
        wait_for(gossip, "n3", "held")
        assert heard(gossip, "n2", "held") == 0
    wait_for(gossip, "n2", "held")


def test_a_delay_and_a_copy_are_kept_apart(gossip: Cluster) -> None:
    with gossip.slow("n1", "n2", one_way_ms=30), gossip.duplicate("n1", "n2", rate=1, classes={"rumour"}) as fault:
        assert fault.verified
        spread(gossip, "n1", "twice")
        wait_for(gossip, "n2", "twice", times=2)


def test_lost_datagrams_are_offered_and_not_delivered(gossip: Cluster) -> None:
    with gossip.lose("n1", "n2", rate=1) as fault:
        assert fault.verified
        spread(gossip, "n1", "lost")
        wait_for(gossip, "n3", "lost")
        to_n2 = [one for one in gossip.ledger() if one.message_class == "rumour" and one.receiver == "n2"]
        assert to_n2[-1].delivered_ns is None
        assert heard(gossip, "n2", "lost") == 0


def test_one_bit_of_a_corrupted_datagram_is_wrong(gossip: Cluster) -> None:
    sent = json.dumps({"type": "rumour", "text": "clean"})

    def raw() -> list[str]:
        return list(tell(gossip, "n2", {"type": "look"})["raw"])

    before = len(raw())
    with gossip.corrupt("n1", "n2", rate=1) as fault:
        assert fault.verified
        spread(gossip, "n1", "clean")
        gossip.wait_until(lambda: len(raw()) > before)
        came = raw()[before]
        wrong = [bin(ord(one) ^ ord(other)).count("1") for one, other in zip(sent, came, strict=True)]
        assert sum(wrong) == 1


def test_lost_replies_leave_the_question_delivered(gossip: Cluster) -> None:
    with gossip.drop_replies("n1", "n2") as fault:
        assert fault.verified
        spread(gossip, "n1", "unanswered")
        wait_for(gossip, "n2", "unanswered")
        gossip.wait_until(lambda: acknowledged(gossip, "n1", "unanswered") == 1, what="n3 answers")
    spread(gossip, "n1", "answered")
    gossip.wait_until(lambda: acknowledged(gossip, "n1", "answered") == 2)
    assert acknowledged(gossip, "n1", "unanswered") == 1


def test_a_killed_node_gossips_again_on_the_same_port(gossip: Cluster) -> None:
    with gossip.kill("n2"):
        spread(gossip, "n1", "to nobody")
        wait_for(gossip, "n3", "to nobody")
    spread(gossip, "n1", "back")
    wait_for(gossip, "n2", "back")


def test_a_udp_port_accepts_no_connections_and_nobody_waits_for_it() -> None:
    with pytest.raises(UsageError, match=r"ready_port\('gossip'\): that port is UDP and accepts no connections; use ready_log"):
        gossip_system(ready=ready_port("gossip"))


def test_protocols_that_need_connections_are_not_allowed_over_udp() -> None:
    with pytest.raises(UsageError, match=r"protocol 'http1' needs connections; over UDP allowed: bytes, frames, json-lines$"):
        Port("dns", transport="udp", protocol="http1")
    with pytest.raises(UsageError, match=r"transport 'quic' is not known; allowed: tcp, udp$"):
        Port("dns", transport="quic")
