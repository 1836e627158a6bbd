"""Messages lost, doubled, late, corrupted on the wire, and replies that never come: through a real relay."""

from __future__ import annotations

import asyncio

import pytest

from pytest_coordchaos.cost.ledger import Message
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import DirectionState, FrameKind, FrameRule, LinkMode
from tests.relay.rig import RelayProcess, Rig, end_of, frame, nothing_came, read_exactly, rigged, until

CLASSES = {1: "vote", 2: "append"}
ONE, TWO, LAST = frame(1, 11, b"one"), frame(2, 12, b"two"), frame(1, 13, b"last")


def state(*rules: tuple[FrameKind, float] | FrameRule, delay_ms: float = 0.0) -> DirectionState:
    """What happens to frames."""
    made = [rule if isinstance(rule, FrameRule) else FrameRule(rule[0], (), rule[1]) for rule in rules]
    return DirectionState(delay_ms=delay_ms, frames=tuple(sorted(made)))


@pytest.mark.parametrize(
    ("kind", "arrives"),
    [
        (FrameKind.LOSE, b""),
        (FrameKind.DUPLICATE, ONE + ONE + TWO + TWO),
        (FrameKind.REORDER, TWO + ONE),
    ],
)
async def test_each_kind_is_proven_and_strikes_open_connections(relay: RelayProcess, kind: FrameKind, arrives: bytes) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((kind, 1.0)))
        client[1].write(ONE + TWO)
        await _offered(rig, len(ONE + TWO))
        await rig.apply()
        client[1].write(LAST)

        assert await read_exactly(node[0], len(arrives + LAST)) == arrives + LAST


async def test_a_corrupted_frame_keeps_its_length_and_class(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.CORRUPT, 1.0)))
        client[1].write(ONE)
        came = await read_exactly(node[0], len(ONE))

        assert came[:16] == ONE[:16]
        assert (int.from_bytes(came, "big") ^ int.from_bytes(ONE, "big")).bit_count() == 1


async def test_the_way_back_has_rules_of_its_own(relay: RelayProcess) -> None:
    async with rigged(relay, "json-lines") as rig:
        client, node = await rig.pair()
        await rig.apply(down=state(FrameRule(FrameKind.LOSE, ("pong",), 1.0)))
        client[1].write(b'{"type": "pong"}\n')
        assert await read_exactly(node[0], 17) == b'{"type": "pong"}\n'
        node[1].write(b'{"type": "pong"}\n{"type": "other"}\n')

        assert await read_exactly(client[0], 18) == b'{"type": "other"}\n'


async def test_a_lost_message_is_offered_and_never_delivered_a_doubled_one_is_offered_once(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        await rig.apply(up=state(FrameRule(FrameKind.LOSE, ("vote",), 1.0), FrameRule(FrameKind.DUPLICATE, ("append",), 1.0)))
        client[1].write(ONE + TWO)
        assert await read_exactly(node[0], 2 * len(TWO)) == TWO + TWO
        ledger = await rig.control.ledger(mark)

    lost, doubled = ledger.messages
    assert (lost.message_class, lost.operations, lost.delivered_ns) == ("vote", (11,), None)
    assert (doubled.message_class, doubled.operations, doubled.delivered_ns is None) == ("append", (12,), False)
    (total,) = (one for one in ledger.totals if one.link == rig.link and one.sender == "clients")
    assert (total.offered_bytes, total.delivered_bytes, total.framed_bytes) == (len(ONE + TWO), 2 * len(TWO), len(ONE + TWO))


async def test_a_frame_in_mid_flight_when_rules_come_in_force_arrives_whole(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        client[1].write(ONE[:9])
        assert await read_exactly(node[0], 9) == ONE[:9]
        await rig.apply(up=state((FrameKind.LOSE, 1.0)))
        client[1].write(ONE[9:] + TWO)
        assert await read_exactly(node[0], len(ONE) - 9) == ONE[9:]
        client[1].write(LAST[:5])
        await _offered(rig, len(ONE + TWO) + 5)
        await rig.apply()
        client[1].write(LAST[5:])

        assert await read_exactly(node[0], len(LAST)) == LAST
        messages = (await rig.control.ledger(mark)).messages
        assert [_fate(one) for one in messages] == [(11, True), (12, False), (13, True)]


async def test_a_late_frame_arrives_though_nothing_follows_it(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.REORDER, 1.0)))
        client[1].write(ONE)

        assert await read_exactly(node[0], len(ONE)) == ONE


async def test_an_end_of_stream_waits_for_late_frames(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.REORDER, 1.0)))
        client[1].write(ONE)
        client[1].write_eof()

        assert await end_of(node[0]) == ONE


async def test_the_same_frames_meet_the_same_fates_in_a_relay_of_the_same_seed(relay: RelayProcess) -> None:
    """Links of one name are not made twice in one relay; so the rate is pinned here, the seed where the stage is."""
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.LOSE, 0.25), delay_ms=5.0))
        client[1].write(ONE * 2000)
        await _offered(rig, 2000 * len(ONE))
        await rig.apply()
        client[1].write(LAST)
        client[1].write_eof()
        came = await end_of(node[0])

    assert isinstance(came, bytes)
    assert came.endswith(LAST)
    assert 1400 < (len(came) - len(LAST)) / len(ONE) < 1600


@pytest.mark.parametrize("protocol", ["bytes", "http1"])
async def test_frames_that_depend_on_each_other_are_left_alone(relay: RelayProcess, protocol: str) -> None:
    async with rigged(relay, protocol) as rig:
        with pytest.raises(RelayError, match=f"link {rig.link} speaks {protocol}: its frames are not independent of each other$"):
            await rig.control.apply({rig.link: (state((FrameKind.LOSE, 0.5)), DirectionState())})
        client, node = await rig.pair()
        client[1].write(b"passes")

        assert await read_exactly(node[0], 6) == b"passes"


@pytest.mark.parametrize("protocol", ["bytes", "http1", "frames"])
async def test_a_request_is_delivered_and_its_reply_is_a_reset(relay: RelayProcess, protocol: str) -> None:
    async with rigged(relay, protocol, CLASSES if protocol == "frames" else None) as rig:
        before, before_node = await rig.pair()
        await rig.apply(down=DirectionState(replies_lost=True))
        after, after_node = await rig.pair()
        for client, node in ((before, before_node), (after, after_node)):
            client[1].write(ONE)
            assert await read_exactly(node[0], len(ONE)) == ONE
            assert nothing_came(client[0])
            node[1].write(TWO)
            assert await end_of(client[0]) is ConnectionResetError
            assert await end_of(node[0]) is ConnectionResetError
        await rig.apply()
        client, node = await rig.pair()
        node[1].write(TWO)

        assert await read_exactly(client[0], len(TWO)) == TWO


async def test_a_lost_reply_is_offered_in_the_ledger_and_never_delivered(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        await rig.apply(down=DirectionState(replies_lost=True))
        node[1].write(ONE)
        assert await end_of(client[0]) is ConnectionResetError

        assert [_fate(one) for one in (await rig.control.ledger(mark)).messages] == [(11, False)]


async def test_a_hold_keeps_frames_from_their_fates(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.DUPLICATE, 1.0)))
        client[1].write(ONE)
        assert await read_exactly(node[0], 2 * len(ONE)) == ONE + ONE
        await rig.apply(up=DirectionState(LinkMode.HOLD))
        client[1].write(TWO)
        await _offered(rig, len(ONE + TWO))
        await rig.apply(up=state((FrameKind.DUPLICATE, 1.0)))
        client[1].write(LAST)

        assert await read_exactly(node[0], len(TWO + LAST + LAST)) == TWO + LAST + LAST


async def test_bytes_that_are_no_frames_pass_as_they_are(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.LOSE, 1.0)))
        client[1].write(b"GET / HTTP/1.1\r\n\r\n")
        assert await read_exactly(node[0], 18) == b"GET / HTTP/1.1\r\n\r\n"
        await rig.apply()
        await rig.apply(up=state((FrameKind.LOSE, 1.0)))
        client[1].write(ONE)

        assert await read_exactly(node[0], len(ONE)) == ONE


async def test_large_frames_with_every_rule_arrive_as_often_as_they_should(relay: RelayProcess) -> None:
    big = frame(2, 5, bytes(range(256)) * 4096)
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=state((FrameKind.DUPLICATE, 1.0), (FrameKind.REORDER, 1.0)))
        for _ in range(4):
            client[1].write(big)
        client[1].write_eof()
        async with asyncio.timeout(30):
            came = await node[0].read(-1)

        assert came == big * 8


def _fate(message: Message) -> tuple[int, bool]:
    """Its operation, and whether it was delivered."""
    return message.operations[0], message.delivered_ns is not None


async def _offered(rig: Rig, size: int) -> None:
    """Wait until the relay has taken so many bytes from the client."""

    async def taken() -> bool:
        return (await rig.control.live())[rig.link].upstream_bytes >= size

    await until(taken, f"{size} bytes received by the relay")
