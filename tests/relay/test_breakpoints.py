"""A message between nodes is waited for, and held with what follows it until it is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.triggers import parse_trigger
from pytest_coordchaos.relay.hold_client import RelayHold
from tests.relay.rig import DROP, RelayProcess, Rig, frame, nothing_came, read_exactly, rigged, spec

CLASSES = {1: "append", 2: "ack"}
APPEND, ACK = frame(1, 0, b"body"), frame(2)


@asynccontextmanager
async def between_nodes(relay: RelayProcess) -> AsyncIterator[Rig]:
    """A link from one node to another."""
    async with rigged(relay, "frames", CLASSES) as one, rigged(relay, "frames", CLASSES) as two:
        link = LinkId(one.link.target, two.link.target, "peer")
        addresses = await two.control.add_links([spec(link, two.node, "frames", CLASSES)])
        rig = Rig(two.control, link, addresses[link], two.node, two.accepted)
        yield rig
        for writer in rig.opened:
            writer.transport.abort()


async def armed(rig: Rig, trigger: str, timeout_s: float = 20.0) -> asyncio.Task[RelayHold | None]:
    """Somebody waits for it: the relay was asked before it was asked other things."""
    waiting = asyncio.ensure_future(rig.control.hold_at(parse_trigger(trigger), timeout_s))  # type: ignore[arg-type]  # a message
    for _ in range(5):
        await rig.control.mark()
    return waiting


async def test_the_kth_message_and_what_follows_wait_until_they_are_let_go(relay: RelayProcess) -> None:
    async with between_nodes(relay) as rig:
        client, node = await rig.pair()
        waiting = await armed(rig, "append#2")
        client[1].write(APPEND)
        client[1].write(ACK)
        assert await read_exactly(node[0], len(APPEND + ACK)) == APPEND + ACK
        client[1].write(APPEND)
        hold = await waiting
        assert hold is not None
        client[1].write(ACK)
        node[1].write(ACK)
        assert await read_exactly(client[0], len(ACK)) == ACK, "the way back goes on"
        assert nothing_came(node[0])
        await hold.release()
        await hold.release()
        assert await read_exactly(node[0], len(APPEND + ACK)) == APPEND + ACK


async def test_connections_that_begin_later_are_watched(relay: RelayProcess) -> None:
    async with between_nodes(relay) as rig:
        waiting = await armed(rig, f"{rig.link.source}>append>{rig.link.target}#1")
        client, node = await rig.pair()
        client[1].write(APPEND)
        hold = await waiting
        assert hold is not None
        assert nothing_came(node[0])
        await hold.release()
        assert await read_exactly(node[0], len(APPEND)) == APPEND


async def test_a_cut_takes_what_is_held(relay: RelayProcess) -> None:
    async with between_nodes(relay) as rig:
        client, node = await rig.pair()
        waiting = await armed(rig, "append#1")
        client[1].write(APPEND)
        hold = await waiting
        assert hold is not None
        await rig.apply(DROP)
        await hold.release()
        node[1].write(ACK)
        assert await read_exactly(client[0], len(ACK)) == ACK
        assert nothing_came(node[0])


async def test_only_what_fits_counts_and_nobody_waits_for_ever(relay: RelayProcess) -> None:
    async with between_nodes(relay) as rig:
        client, node = await rig.pair()
        waiting = await armed(rig, f"{rig.link.target}>append>#1", timeout_s=0.3)
        client[1].write(APPEND)
        assert await read_exactly(node[0], len(APPEND)) == APPEND
        assert await waiting is None
        client[1].write(APPEND)
        assert await read_exactly(node[0], len(APPEND)) == APPEND
        with pytest.raises(RelayError, match="there is no hold 99"):
            await RelayHold(rig.control._call, 99).release()
