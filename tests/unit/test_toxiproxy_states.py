"""What Toxiproxy applies and what the relay keeps; where the server comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.toxiproxy.model import Toxic
from pytest_coordchaos.relay.toxiproxy.source import Source, resolve_source, version_note
from pytest_coordchaos.relay.toxiproxy.states import BEHIND, before, changes, left_to_relay, relay_part, toxics_of

CUT = DirectionState(LinkMode.DROP)
REFUSED = DirectionState(LinkMode.REFUSE)
SLOW = DirectionState(LinkMode.PASS, 30.0)


def names(*toxics: Toxic) -> list[str]:
    return [f"{toxic.full_name}={next(iter(toxic.attributes.values()))}" for toxic in toxics]


@pytest.mark.parametrize(
    ("states", "toxics", "relay"),
    [
        ((PASS, PASS), [], (PASS, PASS)),
        ((CUT, PASS), ["timeout_upstream=0"], (BEHIND, PASS)),
        ((PASS, CUT), ["timeout_downstream=0"], (PASS, BEHIND)),
        ((SLOW, CUT), ["latency_upstream=30", "timeout_downstream=0"], (PASS, BEHIND)),
        ((DirectionState(LinkMode.DROP, 30.0), PASS), ["latency_upstream=30", "timeout_upstream=0"], (BEHIND, PASS)),
        ((DirectionState(LinkMode.PASS, 2.5), PASS), ["latency_upstream=2"], (DirectionState(LinkMode.PASS, 0.5), PASS)),
        ((DirectionState(LinkMode.PASS, 0.5), PASS), [], (DirectionState(LinkMode.PASS, 0.5), PASS)),
        ((REFUSED, REFUSED), [], (REFUSED, REFUSED)),
    ],
)
def test_a_state_is_told_apart(states: tuple, toxics: list[str], relay: tuple) -> None:
    assert names(*toxics_of(states)) == toxics
    assert relay_part(states) == relay


def test_every_toxic_is_certain_and_without_jitter() -> None:
    """Toxiproxy's own chance has no seed."""
    for toxic in toxics_of((DirectionState(LinkMode.DROP, 30.0), SLOW)):
        assert toxic.toxicity == 1.0
        assert toxic.attributes.get("jitter", 0) == 0


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ((PASS, PASS), (SLOW, PASS), None),
        ((PASS, PASS), (CUT, PASS), (BEHIND, PASS)),
        ((CUT, CUT), (CUT, CUT), None),
        ((CUT, PASS), (PASS, PASS), (BEHIND, BEHIND)),
        ((CUT, CUT), (CUT, PASS), (BEHIND, BEHIND)),
        ((CUT, PASS), (PASS, CUT), (BEHIND, BEHIND)),
        ((PASS, PASS), (REFUSED, REFUSED), (REFUSED, REFUSED)),
        ((CUT, CUT), (REFUSED, REFUSED), (REFUSED, REFUSED)),
        ((REFUSED, REFUSED), (PASS, PASS), None),
        ((REFUSED, REFUSED), (CUT, PASS), None),
    ],
)
def test_what_the_relay_does_first(old: tuple, new: tuple, first: tuple | None) -> None:
    assert before(old, new) == first


def test_changes_of_toxics_are_the_difference() -> None:
    slow, slower = toxics_of((SLOW, PASS)), toxics_of((DirectionState(LinkMode.PASS, 40.0), PASS))
    both = toxics_of((DirectionState(LinkMode.DROP, 40.0), PASS))

    assert changes(slow, slow) == []
    assert [(change.do, *names(change.toxic)) for change in changes(slow, slower)] == [("update", "latency_upstream=40")]
    assert [(change.do, *names(change.toxic)) for change in changes(slow, both)] == [
        ("update", "latency_upstream=40"),
        ("add", "timeout_upstream=0"),
    ]
    assert [(change.do, *names(change.toxic)) for change in changes(both, slower)] == [("remove", "timeout_upstream=0")]


def test_what_toxiproxy_cannot_express_is_told() -> None:
    assert list(left_to_relay((SLOW, CUT))) == []
    assert list(left_to_relay((DirectionState(LinkMode.PASS, 0.5), PASS))) == ["fractions of a millisecond"]
    assert set(left_to_relay((REFUSED, REFUSED))) == {"refusals (Toxiproxy's listener is closed too)"}


def test_the_server_is_a_program_an_address_or_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert resolve_source("") == resolve_source("toxiproxy-server") == resolve_source(str(program)) == Source(binary=str(program))
    assert resolve_source("127.0.0.1:8474") == Source(address=("127.0.0.1", 8474))
    assert resolve_source("[::1]:8474") == Source(address=("::1", 8474))
    assert resolve_source("image:example/toxiproxy:2.12.0") == Source(image="example/toxiproxy:2.12.0")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("", "there is no toxiproxy-server on PATH: install Toxiproxy 2.12, or name a program"),
        ("nowhere", "--coordchaos-toxiproxy=nowhere: there is no such program; allowed: a program"),
        ("./nowhere:1", "there is no such program"),
        ("host:port", "--coordchaos-toxiproxy=host:port is not allowed; allowed: a program"),
        ("image:", "names no image"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence(asked: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError) as refused:
        resolve_source(asked)

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("version", ["2.12.0", "v2.13.1", "3.0"])
def test_versions_that_will_do(version: str) -> None:
    assert version_note(version, "x") == ""


def test_a_version_without_a_number_is_taken_with_a_word() -> None:
    """`go install` without flags builds one that calls itself git."""
    assert version_note("git", "x") == "Toxiproxy calls its version 'git': taken for 2.12 or later"


@pytest.mark.parametrize("version", ["2.11.0", "2.9.0", "1.2"])
def test_versions_that_are_too_old(version: str) -> None:
    with pytest.raises(UsageError, match=r"is too old; allowed: 2\.12 or later"):
        version_note(version, "the server at 127.0.0.1:8474")
