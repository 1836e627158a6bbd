"""A System is checked where it is written: one sentence says what is wrong and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.model import Node, Port, System
from pytest_coordchaos.system.readiness import ready_log

CLASH = "port 'p' has protocol='bytes' on a and protocol='http1' on b; make them equal, or give one another name"
FINE: dict[str, Any] = {"nodes": 2, "command": ["server"], "ports": [Port("client")]}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"nodes": 0}, "nodes=0 is not allowed; a number from 1, or names"),
        ({"nodes": 2.5}, "nodes=2.5 is not allowed"),
        ({"nodes": [1, 2]}, r"nodes=\[1, 2\] is not allowed"),
        ({"nodes": ["a", "a"]}, "two nodes have one name"),
        ({"nodes": ["clients"]}, "Node name 'clients' is not allowed"),
        ({"name": "../out"}, "System name '../out' is not allowed"),
        ({"command": "server --x"}, "a list of texts"),
        ({"command": []}, "a list of texts"),
        ({"command": ["server", 3]}, "a list of texts"),
        ({"entry": "a:b"}, "either entry='module:function', or command="),
        ({"command": None}, "either entry='module:function', or command="),
        ({"nodes": [Node("a", command=["x"]), "b"], "command": None}, "node b has neither a command nor an image"),
        ({"image": ""}, "image='' is not allowed"),
        ({"cpus": 0}, "cpus=0 is not allowed; a number from 0.01, or None"),
        ({"memory_mb": "64"}, "memory_mb='64' is not allowed; a number from 6, or None"),
        ({"env": {"A": 3}}, "env and files map texts to texts"),
        ({"ports": ["peer"]}, "a list of Port"),
        ({"nodes": [Node("a", ports=[Port("p", number=1)]), Node("b", ports=[Port("p", protocol="http1")])]}, CLASH),
        ({"ports": [Port("p"), Port("p")]}, "two ports have one name"),
        ({"ready": "client"}, "ready='client' is not allowed; ready_port"),
        ({"ready_timeout_s": -1}, "more than 0 seconds"),
        ({"roles": {"leader": 3}}, "roles map a name to a coroutine function"),
        ({"addresses": "same"}, "allowed: per-node, shared"),
    ],
)
def test_a_wrong_system_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        System(**{**FINE, **given})


@pytest.mark.parametrize(
    ("given", "runtimes"),
    [
        ({"entry": "a:b"}, ("process", "docker")),
        ({"command": ["x"]}, ("process",)),
        ({"image": "x"}, ("docker",)),
        ({"image": "x", "command": ["x"]}, ("docker", "process")),
        ({"nodes": [Node("a", image="x"), Node("b", command=["x"], image="y")]}, ("docker",)),
        ({"nodes": [Node("a", image="x"), Node("b", command=["x"])]}, ()),
    ],
)
def test_a_system_says_where_it_can_run_the_default_first(given: dict[str, Any], runtimes: tuple[str, ...]) -> None:
    assert System(**{"nodes": 2, **given}).runtimes == runtimes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "Peer"}, "Port name 'Peer' is not allowed"),
        ({"name": 3}, "Port name 3 is not allowed"),
        ({"name": "p", "protocol": "http3"}, "allowed: bytes, frames, json-lines, http1, http2, postgres, resp"),
        ({"name": "p", "number": "80"}, "number '80' is not a port"),
        ({"name": "p", "number": 0}, "number 0 is not a port"),
        ({"name": "p", "background": "heartbeat"}, "is one text; allowed: a set of class names"),
    ],
)
def test_a_wrong_port_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Port(**given)


def test_what_is_right_is_taken() -> None:
    system = System(**FINE)

    assert system.node_names == ("n1", "n2")
    assert System(**{**FINE, "nodes": ["db-1", Node("db-2", env={"A": "1"})]}).node_names == ("db-1", "db-2")
    assert Port("p", background=["a", "b"]).background == frozenset({"a", "b"})  # type: ignore[arg-type]  # any iterable is taken


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"ports": "p"}, r"Node\('a'\): ports='p' is not allowed; a list of Port"),
        ({"ports": [Port("p"), Port("p")]}, r"Node\('a'\): two ports have one name: p, p"),
        ({"ready": "p"}, r"Node\('a'\): ready='p' is not allowed; ready_port"),
    ],
)
def test_a_wrong_node_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Node("a", **given)


def test_a_node_has_the_ports_it_names_or_those_of_the_system() -> None:
    web, idle = Node("web", ports=[Port("http", protocol="http1")], ready=ready_log("up")), Node("idle", ports=[])
    system = System(command=["x"], nodes=[web, idle, "db"], ports=[Port("sql", number=5432)], ready=ready_log("ready"))

    assert [[port.name for port in system.ports_of(name)] for name in system.node_names] == [["http"], [], ["sql"]]
    assert [port.name for port in system.all_ports] == ["http", "sql"]
    assert system.port("web", "http").protocol == "http1"
    assert system.ready_of("web") is web.ready
    assert system.ready_of("db") is system.ready
    with pytest.raises(UsageError, match="Node web has no port 'sql'; it has: http"):
        system.port("web", "sql")


def test_ports_of_one_name_may_differ_in_number() -> None:
    nodes = [Node(name, ports=[Port("sql", number=number)]) for name, number in (("a", 5432), ("b", 5433))]

    assert System(command=["x"], nodes=nodes).port("b", "sql").number == 5433


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        ready_log("(")
