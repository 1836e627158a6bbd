"""A probe that cannot fail proves nothing: each is shown a data path that was tampered with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic_ns

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState, FrameKind, FrameRule, LinkMode
from pytest_coordchaos.relay.flow import Flow
from pytest_coordchaos.relay.frame_stage import FrameStage
from pytest_coordchaos.relay.listening import Listening
from pytest_coordchaos.relay.server import Relay
from pytest_coordchaos.relay.wire import ProbeResult
from tests.relay.rig import DROP, HOLD, REFUSE, link_name, spec

SLOW = DirectionState(LinkMode.PASS, 40.0)
MEDDLING = DirectionState(frames=tuple(FrameRule(kind, (), 0.2) for kind in sorted(FrameKind)))
_SetRules = Callable[[FrameStage, Sequence[FrameRule]], None]
NO_REPLIES = DirectionState(replies_lost=True)


async def test_an_honest_data_path_is_believed() -> None:
    for up, down in (
        (DROP, PASS),
        (PASS, DROP),
        (SLOW, PASS),
        (DROP, SLOW),
        (HOLD, DROP),
        (PASS, HOLD),
        (REFUSE, PASS),
        (PASS, PASS),
    ):
        assert await _oks(up, down) == [True, True]


async def test_bytes_that_pass_a_cut_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(flow: Flow, data: bytes) -> None:
        assert flow.sink is not None
        flow.sink.write(data)

    monkeypatch.setattr(Flow, "data_received", leak)

    assert await _oks(DROP, DROP) == [False, False]


async def test_bytes_that_are_discarded_and_passed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(flow: Flow, data: bytes) -> None:
        assert flow.sink is not None
        flow.sink.write(data)
        flow.conn.discarded(flow, len(data))

    monkeypatch.setattr(Flow, "data_received", leak)

    assert await _oks(PASS, DROP) == [True, False]


async def test_silence_alone_is_no_proof_of_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes never came to the data path: it did not discard them, so nothing is proven."""
    monkeypatch.setattr(Flow, "data_received", lambda flow, data: None)
    (up, down) = await _probe(DROP, PASS)

    assert (up.ok, up.observed) == (False, "0 of 64 bytes were discarded within 1000 ms")
    assert (down.ok, down.observed) == (False, "nothing arrived within 1000 ms")


async def test_bytes_that_are_discarded_are_no_proof_that_they_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flow, "data_received", lambda flow, data: flow.conn.discarded(flow, len(data)))
    (up, down) = await _probe(HOLD, DROP)

    assert (up.ok, up.observed) == (False, "0 of 64 bytes were held within 1000 ms")
    assert down.ok


async def test_a_delay_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hurry(flow: Flow, data: bytes) -> None:
        assert flow.sink is not None
        flow.sink.write(data)

    monkeypatch.setattr(Flow, "data_received", hurry)

    assert await _oks(SLOW, PASS) == [False, True]


async def test_a_delay_that_was_not_taken_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flow, "set_state", lambda flow, state: None)
    original = Flow.__init__

    def always_slow(flow: Flow, conn: object, tally: object, framer: object, store: object, state: DirectionState) -> None:
        original(flow, conn, tally, framer, store, DirectionState(LinkMode.PASS, 200.0))  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Flow, "__init__", always_slow)

    assert await _oks(PASS, PASS) == [False, False]


async def test_a_listener_that_goes_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _linked() as (relay, link):
        with monkeypatch.context() as patch:
            patch.setattr(Listening, "stop", lambda listening: None)
            probes = await relay.apply({link: (REFUSE, PASS)})

    assert [(probe.ok, probe.observed) for probe in probes] == [(False, "a connection was accepted")] * 2


async def test_a_state_changed_meanwhile_is_not_called_proven() -> None:
    async with _linked() as (relay, link):
        slow, plain = await asyncio.gather(relay.apply({link: (SLOW, PASS)}), relay.apply({link: (PASS, PASS)}))

    assert [probe.ok for probe in slow] == [False, False]
    assert "changed again" in slow[0].observed
    assert [probe.ok for probe in plain] == [True, True]


async def test_all_probes_of_one_call_run_side_by_side() -> None:
    """Forty links of 100 ms each are proven in much less than forty times 100 ms."""
    relay = Relay(seed="1", max_messages=1000)
    links = [link_name() for _ in range(40)]
    await relay.add_links([spec(link, ("127.0.0.1", 1)) for link in links])
    started = monotonic_ns()
    probes = await relay.apply(dict.fromkeys(links, (DirectionState(LinkMode.PASS, 100.0), DROP)))
    took_ms = (monotonic_ns() - started) / 1e6
    await relay.close()

    assert all(probe.ok for probe in probes)
    assert took_ms < 40 * 100


@asynccontextmanager
async def _linked() -> AsyncIterator[tuple[Relay, LinkId]]:
    """A relay inside this process, with one link to nowhere: probes must not need the node."""
    relay, link = Relay(seed="1", max_messages=1000), link_name()
    await relay.add_links([spec(link, ("127.0.0.1", 1), "frames", {7: "vote"})])
    try:
        yield relay, link
    finally:
        await relay.close()


async def _probe(up: DirectionState, down: DirectionState) -> list[ProbeResult]:
    async with _linked() as (relay, link):
        return await relay.apply({link: (up, down)})


async def _oks(up: DirectionState, down: DirectionState) -> list[bool]:
    return [probe.ok for probe in await _probe(up, down)]


def _but(honest: _SetRules, kind: FrameKind) -> _SetRules:
    """A stage that forgets one kind of rule."""
    return lambda stage, rules: honest(stage, [rule for rule in rules if rule.kind is not kind])
