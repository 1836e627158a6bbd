"""Redis with a replica and a sentinel, as a compose project: three real programs that find each other by name."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pytest_coordchaos import Cluster, Port, Session, System
from tests.requirements import require
from tests.systems.docker.compose_rig import PROJECTS
from tests.systems.docker.redis_image import REDIS, redis_image

REDIS_PORTS = [Port("redis", number=6379, protocol="resp")]
PORTS = {"one": REDIS_PORTS, "two": REDIS_PORTS, "watch": [Port("sentinel", number=26379, protocol="resp")]}


@pytest.fixture
def redis(containers: Session) -> Iterator[Cluster]:
    require("redis", REDIS is not None, "there is no redis-server on PATH")
    system = System.from_compose(PROJECTS / "sentinel", ports=PORTS, environ={"REDIS_IMAGE": redis_image()})
    with containers.start(system) as cluster:
        yield cluster


def say(cluster: Cluster, node: str, *words: str, port: str = "redis") -> str:
    """One command, by the client's link; what came back, in Redis's own words."""
    with socket.create_connection(cluster.address(node, port), timeout=3) as connection:
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        connection.sendall(b"*%d\r\n" % len(words) + parts)
        return connection.recv(65536).decode()


def test_replication_stops_at_a_cut_and_goes_on_after_it(redis: Cluster) -> None:
    assert say(redis, "one", "SET", "k", "before") == "+OK\r\n"
    redis.wait_until(lambda: "before" in say(redis, "two", "GET", "k"), what="it is replicated")
    with redis.cut("one", "two", both_ways=True) as cut:
        assert cut.verified
        assert say(redis, "one", "SET", "k", "meanwhile") == "+OK\r\n"
        assert "before" in say(redis, "two", "GET", "k")

    redis.wait_until(lambda: "meanwhile" in say(redis, "two", "GET", "k"), timeout_s=60, what="it is replicated later")


def test_a_sentinel_that_knows_names_fails_over_and_nobody_walks_around_the_relay(redis: Cluster) -> None:
    def primary() -> str:
        return say(redis, "watch", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop", port="sentinel")

    redis.wait_until(lambda: "two" in say(redis, "watch", "SENTINEL", "REPLICAS", "shop", port="sentinel"))
    assert "one" in primary()
    with redis.kill("one"):
        redis.wait_until(lambda: "two" in primary(), timeout_s=60, what="the sentinel chooses the replica")
        redis.wait_until(lambda: "role:master" in say(redis, "two", "INFO", "replication"), what="it becomes primary")
        assert say(redis, "two", "SET", "k", "after") == "+OK\r\n"
    redis.wait_healed()
    redis.wait_until(lambda: "role:slave" in say(redis, "one", "INFO", "replication"), timeout_s=60, what="one follows two")

    assert redis.ledger().bypasses == ()
