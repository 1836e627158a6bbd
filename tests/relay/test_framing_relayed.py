"""Framers inside the real relay: whatever is said, and however it is cut, arrives unchanged; what makes sense is counted."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.framing import framer_pair
from tests.relay.rig import RelayProcess, read_exactly, rigged
from tests.unit import wire_samples as wire
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
    up, down = listen(framer_pair(protocol, {}), talk, to_the_end=False)
    return [name for name, _, _ in up], [name for name, _, _ in down]


LOADED = """
import asyncio, sys
from types import SimpleNamespace
from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.relay.link import Link
from pytest_coordchaos.relay.store import Store
from pytest_coordchaos.relay.wire import LinkSpec
async def main():
    spec = LinkSpec(link=LinkId("a", "b", "p"), listen=("127.0.0.1", 0), upstream=("127.0.0.1", 1),
                    upstream_source="127.0.0.1", protocol=sys.argv[1])
    before = set(sys.modules)
    link = Link(spec, SimpleNamespace(join=lambda link: None), None, Store(), (0, 1), seed="s")
    made = set(sys.modules)
    link.framers()
    print(len(made - before) > 0, len(set(sys.modules) - made))
asyncio.run(main())
"""


@pytest.mark.parametrize("protocol", sorted(talks))
def test_framers_are_loaded_with_the_link_and_not_with_its_first_connection(protocol: str) -> None:
    """Loading takes tens of milliseconds, which would be taken for the network's."""
    done = subprocess.run([sys.executable, "-c", LOADED, protocol], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["True", "0"]


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


async def test_what_keeps_a_connection_up_is_framed_at_once_and_counted_with_the_next_message(relay: RelayProcess) -> None:
    """Else a short connection, or a quiet one, would look as if it spoke another protocol."""
    client = wire.H2Client()
    ping = wire.h2(wire.PING, 0, 0, bytes(8))
    async with rigged(relay, "http2") as rig:
        (_, writer), (reader, _) = await rig.pair()

        async def offer(data: bytes) -> tuple[int, int, list[int]]:
            """Bytes offered and framed, and sizes of messages, of a window of its own."""
            mark = await rig.control.mark()
            writer.write(data)
            assert await read_exactly(reader, len(data)) == data
            ledger = (await rig.control.ledger(mark)).between({rig.link.source, rig.link.target})
            up = ledger.totals[0]
            return up.offered_bytes - len(data), up.framed_bytes - len(data), [m.size_bytes for m in ledger.messages]

        call = client.headers(1, flags=wire.END_STREAM)
        assert await offer(client.hello + ping) == (0, 0, [])
        assert await offer(ping) == (0, 0, [])
        assert await offer(call) == (0, 0, [len(client.hello + ping * 2 + call)])
        assert await offer(ping[:9]) == (0, 0, [])
