"""Framers inside the real relay: whatever is said, and however it is cut, arrives unchanged; what makes sense is counted."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.framing import framer_pair
from tests.relay.rig import RelayProcess, read_exactly, rigged
from tests.unit.wire_samples import Talk, listen
from tests.unit.wire_talks import Turn, cut, spoiled, spoken, talks

SLOW = DirectionState(LinkMode.PASS, 1.0)
ONCE = settings(max_examples=25)
sizes = st.lists(st.integers(1, 30), max_size=80)


async def say(
    relay: RelayProcess, protocol: str, talk: Talk, pieces: list[int], state: DirectionState
) -> tuple[list[str], list[str]]:
    """Say it through a link, every turn in pieces; returns the classes of the messages that the relay saw each way."""
    async with rigged(relay, protocol) as rig:
        client, node = await rig.pair()
        if state is not PASS:
            await rig.apply(state, state)
        mark = await rig.control.mark()
        for way, turn in itertools.groupby(cut(talk, pieces), key=lambda piece: piece[0]):
            (_, writer), (reader, _) = (client, node) if way == ">" else (node, client)
            sent = b""
            for _, data in turn:
                writer.write(data)
                await asyncio.sleep(0)  # a piece of its own, more often than not
                sent += data
            assert await read_exactly(reader, len(sent)) == sent
        ledger = (await rig.control.ledger(mark)).between({rig.link.source, rig.link.target})
        up = [m.message_class for m in ledger.messages if m.sender == rig.link.source]
        down = [m.message_class for m in ledger.messages if m.sender == rig.link.target]
        assert all(message.delivered_ns is not None for message in ledger.messages)
    return up, down


def framed(protocol: str, talk: Talk) -> tuple[list[str], list[str]]:
    """What a framer without a relay sees in the same bytes."""
    up, down = listen(framer_pair(protocol, {}), talk)
    return [name for name, _, _ in up], [name for name, _, _ in down]


@ONCE
@given(said=spoken, pieces=sizes, state=st.sampled_from([PASS, SLOW]))
def test_conversations_arrive_unchanged_and_are_counted(
    relay: RelayProcess, said: tuple[str, list[Turn]], pieces: list[int], state: DirectionState
) -> None:
    protocol, talk = said

    assert asyncio.run(say(relay, protocol, talk, pieces, state)) == framed(protocol, talk)


@ONCE
@given(said=spoiled, pieces=sizes, state=st.sampled_from([PASS, SLOW]))
def test_spoiled_conversations_arrive_unchanged_too(
    relay: RelayProcess, said: tuple[str, list[Turn]], pieces: list[int], state: DirectionState
) -> None:
    protocol, talk = said

    assert asyncio.run(say(relay, protocol, talk, pieces, state)) == framed(protocol, talk)


@pytest.mark.parametrize("protocol", sorted(talks))
@settings(max_examples=10)
@given(junk=st.lists(st.tuples(st.sampled_from("><"), st.binary(min_size=1, max_size=2000)), max_size=8))
def test_garbage_arrives_unchanged_too(relay: RelayProcess, protocol: str, junk: list[Turn]) -> None:
    assert asyncio.run(say(relay, protocol, junk, [], PASS)) == framed(protocol, junk)
