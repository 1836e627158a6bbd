"""The replicated map and its sessions: each command once, the same everywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reference_systems.raft_kv.config import Config
from reference_systems.raft_kv.requests import BadRequest, parse
from reference_systems.raft_kv.state_machine import StateMachine


class Applied:
    """A machine and the index of its last entry."""

    def __init__(self, max_sessions: int = 8) -> None:
        self.machine = StateMachine(max_sessions)
        self.index = 0

    def do(self, f: str, **fields: Any) -> dict[str, Any]:
        self.index += 1
        return self.machine.apply(self.index, json.dumps({"f": f, **fields}).encode())

    def register(self) -> int:
        session: int = self.do("register")["value"]
        return session


def test_a_command_tried_again_is_done_once() -> None:
    """The second attempt gets the first one's answer, even if the state has moved on."""
    store = Applied()
    session, other = store.register(), store.register()
    first = store.do("cas", key="x", value=[None, 1], session=session, number=1)
    store.do("put", key="x", value=5, session=other, number=1)
    again = store.do("cas", key="x", value=[None, 1], session=session, number=1)
    assert again == first == {"status": "ok", "value": None}
    assert store.machine.get("x") == 5


def test_a_command_that_a_later_one_overtook_is_not_done() -> None:
    """A stray attempt of an operation its client gave up."""
    store = Applied()
    session = store.register()
    store.do("put", key="x", value=2, session=session, number=2)
    assert store.do("put", key="x", value=1, session=session, number=1) == {"status": "stale"}
    assert store.machine.get("x") == 2


def test_cas_compares_and_says_what_it_found() -> None:
    """Absent is None, on both sides."""
    store = Applied()
    session = store.register()
    assert store.do("cas", key="x", value=[1, 2], session=session, number=1) == {"status": "mismatch", "value": None}
    store.do("cas", key="x", value=[None, 2], session=session, number=2)
    store.do("cas", key="x", value=[2, None], session=session, number=3)
    assert store.machine.get("x") is None


def test_the_session_used_least_recently_expires_first() -> None:
    """Bounded, and in the order of the log, hence at the same entry everywhere."""
    store = Applied(max_sessions=2)
    first, second = store.register(), store.register()
    store.do("put", key="x", value=1, session=first, number=1)
    store.register()
    assert store.do("put", key="x", value=2, session=second, number=1) == {"status": "expired"}
    assert store.do("put", key="x", value=3, session=first, number=2)["status"] == "ok"


def test_a_restored_state_goes_on_exactly_as_the_original() -> None:
    """Values, sessions, their answers and the order in which they will expire."""
    one = Applied(max_sessions=2)
    a, b = one.register(), one.register()
    one.do("put", key="x", value={"deep": [1]}, session=b, number=1)
    one.do("put", key="y", value=1, session=a, number=1)
    two = Applied(max_sessions=2)
    two.machine.load(one.machine.dump())
    two.index = one.index
    for store in (one, two):
        assert store.do("cas", key="y", value=[1, 2], session=a, number=2)["status"] == "ok"
        store.register()
        assert store.do("put", key="z", value=1, session=b, number=2) == {"status": "expired"}
    assert one.machine.dump() == two.machine.dump()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"{", "is not JSON"),
        (b"[]", "f=None is not known"),
        (b'{"f": "incr"}', "f='incr' is not known"),
        (b'{"f": "get", "key": 1}', "key=1 is not allowed"),
        (b'{"f": "put", "key": "x", "value": 1}', "session=None is not allowed"),
        (b'{"f": "put", "key": "x", "session": 1, "number": true}', "number=True is not allowed"),
        (b'{"f": "cas", "key": "x", "value": 1, "session": 1, "number": 1}', "value=1 of a cas is not allowed"),
        (b'{"f": "get", "key": "x", "deep": ' + b"[" * 99 + b"]" * 99 + b"}", "nested too deeply"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * 2000, "too long"),
    ],
)
def test_a_bad_request_never_reaches_the_log(request_: bytes, says: str) -> None:
    """One sentence: what is wrong and what is allowed."""
    with pytest.raises(BadRequest, match=says):
        parse(request_, longest_bytes=200_000 if request_.strip() else 1999)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hearbeat_ms": 5}, "has no option hearbeat_ms; it has: election_min_ms"),
        ({"heartbeat_ms": 500}, "heartbeat_ms must be below election_min_ms"),
        ({"election_min_ms": 400}, "election_min_ms is above election_max_ms"),
        ({"max_sessions": 0}, "max_sessions=0 is not allowed: a number from 1"),
        ({"batch_bytes": "1M"}, "batch_bytes='1M' is not allowed"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValueError, match=says):
        Config.of(options)
