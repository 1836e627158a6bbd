"""A real Redis and its replica: what the relay counts is what was said."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections import Counter

import pytest

from pytest_coordchaos import Cluster, Node, Port, System, ready_log
from tests.requirements import require
from tests.systems.wire_rig import counted
from tests.unit.wire_samples import command

pytestmark = pytest.mark.needs("redis")
SERVER, CLI = shutil.which("redis-server"), shutil.which("redis-cli")
COMMAND = [
    SERVER or "redis-server",
    "--bind",
    "{host:client}",
    "--port",
    "{port:client}",
    "--protected-mode",
    "no",
    "--save",
    "",
    "--repl-diskless-sync-delay",
    "0",
]
COUNT = 40


@pytest.fixture(scope="module")
def redis(session):
    require("redis", bool(SERVER and CLI), "redis-server is not on PATH (Debian: apt-get install redis-server)")
    replica = Node("n2", command=[*COMMAND, "--replicaof", "{peers:client:%h}", "{peers:client:%p}"])
    system = System(
        name="redis",
        nodes=["n1", replica],
        ports=[Port("client", protocol="resp")],
        command=COMMAND,
        ready=ready_log("Ready to accept connections"),
    )
    with session.start(system) as cluster:
        yield cluster


class Talker:
    """A connection that says commands and reads whole answers of known size."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.socket = socket.create_connection(cluster.address(node, "client"), timeout=20)
        self.stream = self.socket.makefile("rwb")

    def say(self, *commands: bytes, answer: bytes) -> None:
        """Pipeline some commands; their answers must be these bytes."""
        self.stream.write(b"".join(commands))
        self.stream.flush()
        assert self.stream.read(len(answer)) == answer

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()


def test_n_pipelined_commands_are_n_messages_each_way(session, redis: Cluster) -> None:
    with counted(session, redis) as seen, Talker(redis, "n1") as client:
        client.say(*(command(b"set", b"k", b"%d" % n) for n in range(COUNT)), answer=b"+OK\r\n" * COUNT)
        client.say(*[command(b"GET", b"k")] * COUNT, answer=b"$2\r\n%d\r\n" % (COUNT - 1) * COUNT)
        client.say(b"PING\r\n", command(b"nonsense"), answer=b"+PONG\r\n-ERR unknown command 'nonsense'")

    there, back = seen.between("clients", "n1")
    assert there == {"SET": COUNT, "GET": COUNT, "PING": 1, "NONSENSE": 1}
    assert back == {"reply": 2 * COUNT + 2}
    assert seen.framed_share() > 0.99


def test_a_stock_client_speaks_resp3_and_is_counted_alike(session, redis: Cluster) -> None:
    host, port = redis.address("n1", "client")
    said = "HSET h a 1 b 2\nHGETALL h\nZADD z 1.5 x\nZRANGE z 0 -1 WITHSCORES\nGET absent\nLPUSH l 1 2\nLRANGE l 0 -1\n"
    with counted(session, redis) as seen:
        done = subprocess.run(
            [CLI or "", "-3", "-h", host, "-p", str(port)], input=said, text=True, capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr

    there, back = seen.between("clients", "n1")
    said_itself = Counter(HELLO=9, COMMAND=9)
    assert there - said_itself == Counter(("HSET", "HGETALL", "ZADD", "ZRANGE", "GET", "LPUSH", "LRANGE"))
    assert back == {"reply": there.total()}


def test_published_messages_are_pushes(session, redis: Cluster) -> None:
    with counted(session, redis) as seen, Talker(redis, "n1") as listener, Talker(redis, "n1") as speaker:
        listener.say(command(b"SUBSCRIBE", b"news"), answer=b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
        speaker.say(*[command(b"PUBLISH", b"news", b"hi")] * 3, answer=b":1\r\n" * 3)
        listener.say(answer=command(b"message", b"news", b"hi") * 3)

    assert seen.between("clients", "n1") == ({"SUBSCRIBE": 1, "PUBLISH": 3}, {"reply": 1 + 3, "push": 3})


def test_a_replica_gets_a_snapshot_and_then_one_message_per_command(session, redis: Cluster) -> None:
    """It was its own master for a moment, so nothing but everything will do."""
    with counted(session, redis) as seen, Talker(redis, "n2") as replica:
        told = dict(line.split(b":", 1) for line in _replication(redis, "n2").split() if b":" in line)
        host, port = told[b"master_host"], told[b"master_port"]
        replica.say(command(b"REPLICAOF", b"NO", b"ONE"), command(b"SET", b"mine", b"1"), answer=b"+OK\r\n" * 2)
        replica.say(command(b"REPLICAOF", host, port), answer=b"+OK\r\n")
        _append(redis)

    there, back = seen.between("n2", "n1")
    assert there["PSYNC"] == back["snapshot"] == 1
    assert back["APPEND"] == 9
    assert set(back) <= {"reply", "snapshot", "SELECT", "APPEND", "PING", "REPLCONF"}
    assert seen.framed_share() > 0.95
    assert not seen.ledger.bypasses


def test_a_replica_that_was_killed_catches_up_command_by_command(session, redis: Cluster) -> None:
    """It kept its last snapshot, so the commands since then are enough."""
    with counted(session, redis) as seen:
        redis.kill("n2")
        redis.restart("n2")
        _append(redis)

    there, back = seen.between("n2", "n1")
    assert (there["PSYNC"], back["snapshot"]) == (1, 0)
    assert back["APPEND"] >= 9
    assert seen.framed_share() > 0.95


def _append(cluster: Cluster) -> None:
    """Write when the replica is fed, and wait until it has it all."""
    cluster.wait_until(lambda: b"master_link_status:up" in _replication(cluster, "n2"), what="the replica is fed")
    with Talker(cluster, "n1") as client:
        client.say(command(b"DEL", b"log"), *[command(b"APPEND", b"log", b"x")] * 9, answer=b"")
        while client.stream.readline() != b":9\r\n":
            pass
        client.say(command(b"WAIT", b"1", b"20000"), answer=b":1\r\n")


def _replication(cluster: Cluster, node: str) -> bytes:
    with Talker(cluster, node) as client:
        client.stream.write(command(b"INFO", b"replication"))
        client.stream.flush()
        return client.stream.read(int(client.stream.readline()[1:]))
