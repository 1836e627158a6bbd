"""Hold and release: whatever is said meanwhile arrives afterwards, in order, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from tests.relay.rig import DROP, HOLD, RelayProcess, Rig, end_of, nothing_came, read_exactly, rigged, until


async def test_held_bytes_arrive_in_order_after_the_heal(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        client[1].write(b"before ")
        assert await read_exactly(node[0], 7) == b"before "
        await rig.apply(up=HOLD, down=HOLD)
        for number, word in enumerate((b"one ", b"two ", b"three "), start=1):
            client[1].write(word)
            await _offered(rig, 7 + sum(map(len, (b"one ", b"two ", b"three ")[:number])))
        node[1].write(b"answer")
        assert nothing_came(node[0])
        assert nothing_came(client[0])
        await rig.apply()
        client[1].write(b"after")

        assert await read_exactly(node[0], 19) == b"one two three after"
        assert await read_exactly(client[0], 6) == b"answer"
        assert (await rig.control.live())[rig.link].delivered_bytes == 7 + 19 + 6


async def test_the_other_direction_flows_while_one_is_held(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=HOLD)
        client[1].write(b"later")
        node[1].write(b"now")
        assert await read_exactly(client[0], 3) == b"now"
        assert nothing_came(node[0])
        await rig.apply()

        assert await read_exactly(node[0], 5) == b"later"


async def test_a_held_message_is_delivered_in_the_ledger_only_after_the_heal(relay: RelayProcess) -> None:
    async with rigged(relay, "json-lines") as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        await rig.apply(up=HOLD)
        client[1].write(b'{"type": "late"}\n')
        await _offered(rig, 17)
        (held,) = (await rig.control.ledger(mark)).messages
        await rig.apply()
        await read_exactly(node[0], 17)
        (released,) = (await rig.control.ledger(mark)).messages

    assert (held.message_class, held.delivered_ns) == ("late", None)
    assert released.offered_ns == held.offered_ns
    assert released.delivered_ns is not None
    assert released.delivered_ns > released.offered_ns


async def test_a_dial_into_a_hold_is_accepted_and_reaches_the_node_after_the_heal(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=HOLD)
        client = await rig.dial()
        client[1].write(b"hello")
        client[1].write_eof()
        await _offered(rig, 5)
        assert rig.accepted.empty()
        assert nothing_came(client[0])
        await rig.apply()
        async with asyncio.timeout(10):
            node = await rig.accepted.get()

        assert await end_of(node[0]) == b"hello"
        node[1].write(b"and back")
        assert await read_exactly(client[0], 8) == b"and back"


async def test_what_a_dialler_said_before_it_reset_arrives_before_the_reset(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=HOLD, down=HOLD)
        client = await rig.dial()
        client[1].write(b"last words")
        await _offered(rig, 10)
        client[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client[1].transport.abort()
        await rig.apply()
        async with asyncio.timeout(10):
            node = await rig.accepted.get()

        await until(_ended(node[0]), "the reset arrives")
        assert isinstance(node[0].exception(), ConnectionResetError)
        assert bytes(node[0]._buffer) == b"last words"  # type: ignore[attr-defined]  # a reader that was reset gives its bytes no more


async def test_an_end_of_stream_is_held_behind_the_bytes_before_it(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(down=HOLD)
        node[1].write(b"bye")
        node[1].write_eof()
        await until(_received_from_node(rig, 3), "3 bytes from the node")
        assert nothing_came(client[0])
        await rig.apply()

        assert await end_of(client[0]) == b"bye"


async def test_a_sender_is_held_back_when_the_relay_holds_enough_and_still_nothing_is_lost(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=HOLD)
        block, total = bytes(range(256)) * 256, 48 * 1024 * 1024
        for _ in range(total // len(block)):
            client[1].write(block)

        async def held_back() -> bool:
            return (await rig.control.live())[rig.link].saturated > 0

        await until(held_back, "the sender is held back")
        assert (await rig.control.live())[rig.link].upstream_bytes < 4 * 1024 * 1024
        assert client[1].transport.get_write_buffer_size() > 0
        await rig.apply()

        assert await read_exactly(node[0], total) == block * (total // len(block))


async def test_a_cut_during_a_hold_loses_what_was_held_and_the_connection_is_reset(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=HOLD)
        client[1].write(b"held")
        await _offered(rig, 4)
        await rig.apply(up=DROP)
        await rig.apply(up=HOLD)
        client[1].write(b"behind a hole")
        await _offered(rig, 17)
        await rig.apply()

        assert await end_of(node[0]) is ConnectionResetError
        assert (await rig.control.live())[rig.link].delivered_bytes == 0


async def test_a_dial_that_a_cut_swallowed_is_not_made_when_a_later_hold_is_lifted(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=DROP)
        swallowed = await rig.dial()
        await rig.apply(up=HOLD)
        held = await rig.dial()
        held[1].write(b"kept")
        await _offered(rig, 4)
        await rig.apply()

        assert await end_of(swallowed[0]) is ConnectionResetError
        async with asyncio.timeout(10):
            node = await rig.accepted.get()
        assert await read_exactly(node[0], 4) == b"kept"
        assert rig.accepted.empty()


async def test_a_held_dial_is_swallowed_by_a_cut(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        await rig.apply(up=HOLD)
        client = await rig.dial()
        client[1].write(b"held")
        await _offered(rig, 4)
        await rig.apply(up=DROP)
        await rig.apply()

        assert await end_of(client[0]) is ConnectionResetError
        assert rig.accepted.empty()


async def test_a_delay_that_stays_is_counted_from_when_bytes_were_received(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DirectionState(LinkMode.HOLD, 30.0))
        client[1].write(b"first")
        await _offered(rig, 5)
        await rig.apply(up=DirectionState(LinkMode.PASS, 30.0), down=PASS)
        client[1].write(b"second")

        assert await read_exactly(node[0], 11) == b"firstsecond"


async def _offered(rig: Rig, size: int) -> None:
    """Wait until the relay has taken so many bytes from the client."""

    async def taken() -> bool:
        return (await rig.control.live())[rig.link].upstream_bytes >= size

    await until(taken, f"{size} bytes received by the relay")


def _ended(reader: asyncio.StreamReader) -> Callable[[], Awaitable[bool]]:
    async def ended() -> bool:
        return reader.exception() is not None or reader.at_eof()

    return ended


def _received_from_node(rig: Rig, size: int) -> Callable[[], Awaitable[bool]]:
    async def received() -> bool:
        return (await rig.control.live())[rig.link].downstream_bytes >= size

    return received
