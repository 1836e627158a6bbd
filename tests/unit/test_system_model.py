"""A System is checked where it is written: one sentence says what is wrong and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.model import Node, Port, System
from pytest_coordchaos.system.readiness import ready_log

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
        ({"entry": "a:b"}, "exactly one of command"),
        ({"env": {"A": 3}}, "env and files map texts to texts"),
        ({"ports": ["peer"]}, "a list of Port"),
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
    ("given", "sentence"),
    [
        ({"name": "Peer"}, "Port name 'Peer' is not allowed"),
        ({"name": 3}, "Port name 3 is not allowed"),
        ({"name": "p", "protocol": "http2"}, "allowed: bytes, frames, json-lines, http1"),
        ({"name": "p", "number": "80"}, "number '80' is not a TCP port"),
        ({"name": "p", "number": 0}, "number 0 is not a TCP port"),
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


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        ready_log("(")
