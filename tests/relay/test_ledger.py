"""The ledger: every message once, offered and delivered apart, windows that add up."""

from __future__ import annotations

import asyncio
import struct
import time
from itertools import pairwise

from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.faults.model import PASS, DirectionState, LinkMode
from pytest_coordchaos.relay.control_client import Mark
from tests.relay.rig import DROP, RelayProcess, Rig, frame, read_exactly, rigged, until

CLASSES = {1: "append", 2: "ack"}


async def test_messages_have_class_size_operation_and_direction(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        mark, before = await rig.control.mark(), time.monotonic_ns()
        await _send(client[1], node[0], frame(1, 7, b"body") + frame(40))
        await _send(node[1], client[0], frame(2, 7))
        ledger = _mine(await rig.control.ledger(mark), rig)
        after = time.monotonic_ns()

    seen = [(m.sender, m.receiver, m.message_class, m.size_bytes, m.operations) for m in ledger.messages]
    source, target = rig.link.source, rig.link.target
    assert seen == [
        (source, target, "append", 20, (7,)),
        (source, target, "class-40", 16, ()),
        (target, source, "ack", 16, (7,)),
    ]
    for message in ledger.messages:
        assert message.delivered_ns is not None
        assert before <= message.offered_ns <= message.delivered_ns <= after
    assert ledger.complete


async def test_a_batch_names_all_its_operations(relay: RelayProcess) -> None:
    ids = (11, 12, (1 << 63) + 5)
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        await _send(client[1], node[0], frame(1, (1 << 63) | 3, struct.pack(">3Q", *ids) + b"entries"))
        (message,) = _mine(await rig.control.ledger(mark), rig).messages

    assert message.operations == ids


async def test_json_lines_and_http_are_counted_by_their_own_rules(relay: RelayProcess) -> None:
    exchanges = {
        "json-lines": ([b'{"body":{"type":"echo"}}\n{"type":"init"}\n', b'{"type":"ok"}\n'], ["echo", "init", "ok"]),
        "http1": (
            [
                b"HEAD / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            ],
            ["HEAD", "POST", "response"],
        ),
    }
    for protocol, ((there, back), expected) in exchanges.items():
        async with rigged(relay, protocol) as rig:
            client, node = await rig.pair()
            mark = await rig.control.mark()
            await _send(client[1], node[0], there)
            await _send(node[1], client[0], back)
            ledger = _mine(await rig.control.ledger(mark), rig)

        assert [m.message_class for m in ledger.messages] == expected
        assert sum(t.framed_bytes for t in ledger.totals) == sum(t.offered_bytes for t in ledger.totals) == len(there + back)


async def test_an_undeclared_protocol_has_bytes_and_turns_but_no_messages(relay: RelayProcess) -> None:
    async with rigged(relay) as rig:
        client, node = await rig.pair()
        mark = await rig.control.mark()
        for _ in range(3):
            await _send(client[1], node[0], b"question")
            await _send(node[1], client[0], b"answer")
        up, down = _mine(await rig.control.ledger(mark), rig).totals

    assert (up.offered_bytes, down.offered_bytes, up.framed_bytes) == (24, 18, 0)
    assert up.turns == 5, "question, answer, question, answer, question, answer: five changes of direction"


async def test_what_a_cut_swallows_was_offered_but_not_delivered(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await _send(client[1], node[0], frame(1))
        await rig.apply(up=DROP)
        mark = await rig.control.mark()
        client[1].write(frame(1, 3) + frame(1, 4))
        await _offered_messages(rig, 3)
        ledger = _mine(await rig.control.ledger(mark), rig)

    assert [(m.operations, m.delivered_ns) for m in ledger.messages] == [((3,), None), ((4,), None)]
    assert [(t.offered_bytes, t.delivered_bytes, t.framed_bytes) for t in ledger.totals] == [(32, 0, 32), (0, 0, 0)]


async def test_a_delayed_message_is_under_way_then_delivered_late(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await rig.apply(up=DirectionState(LinkMode.PASS, 900.0))
        mark = await rig.control.mark()
        client[1].write(frame(1, 3))
        await _offered_messages(rig, 1)
        (under_way,) = _mine(await rig.control.ledger(mark), rig).messages
        await read_exactly(node[0], 16)
        (arrived,) = _mine(await rig.control.ledger(mark), rig).messages

    assert under_way.delivered_ns is None
    assert arrived.delivered_ns is not None
    assert arrived.delivered_ns - arrived.offered_ns >= 900_000_000


async def test_adjacent_windows_add_up_to_the_whole(relay: RelayProcess) -> None:
    """Marks are taken while traffic flows: no message and no byte is in two windows, or in none."""
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        marks: list[Mark] = [await rig.control.mark()]

        async def talk() -> None:
            for number in range(300):
                await _send(client[1], node[0], frame(1, number + 1, bytes(number)))
                await _send(node[1], client[0], frame(2, number + 1))

        async def take_marks() -> None:
            marks.extend([await rig.control.mark() for _ in range(5)])

        await asyncio.gather(talk(), take_marks())
        marks.append(await rig.control.mark())
        parts = [_mine(await rig.control.ledger(a, b), rig) for a, b in pairwise(marks)]
        whole = _mine(await rig.control.ledger(marks[0], marks[-1]), rig)

    assert len(whole.messages) == 600
    assert tuple(m for part in parts for m in part.messages) == whole.messages
    for way in range(2):
        for name in ("offered_bytes", "delivered_bytes", "framed_bytes", "turns"):
            assert sum(getattr(part.totals[way], name) for part in parts) == getattr(whole.totals[way], name)
    assert [m.offered_ns for m in whole.messages] == sorted(m.offered_ns for m in whole.messages)


async def test_probes_are_in_no_ledger_and_reach_no_node(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        mark = await rig.control.mark()
        for up, down in ((DROP, PASS), (PASS, DROP), (PASS, PASS)):
            await rig.apply(up, down)
        ledger = _mine(await rig.control.ledger(mark), rig)
        counts = (await rig.control.live())[rig.link]

        assert rig.accepted.empty()
    assert ledger.messages == ()
    assert [(t.offered_bytes, t.delivered_bytes, t.turns) for t in ledger.totals] == [(0, 0, 0)] * 2
    assert (counts.bytes, counts.open_connections) == (0, 0)


async def test_garbage_passes_unchanged_and_counts_as_unframed(relay: RelayProcess) -> None:
    garbage = bytes(range(256)) * 16
    for protocol in ("frames", "json-lines", "http1"):
        async with rigged(relay, protocol) as rig:
            client, node = await rig.pair()
            mark = await rig.control.mark()
            client[1].write(garbage)
            assert await read_exactly(node[0], len(garbage)) == garbage
            node[1].write(garbage)
            assert await read_exactly(client[0], len(garbage)) == garbage
            up, down = _mine(await rig.control.ledger(mark), rig).totals

        assert up.offered_bytes == down.delivered_bytes == len(garbage)
        assert up.framed_bytes < len(garbage)


async def test_live_counts_move_while_traffic_flows(relay: RelayProcess) -> None:
    async with rigged(relay, "frames", CLASSES) as rig:
        client, node = await rig.pair()
        await _send(client[1], node[0], frame(1))
        await _send(node[1], client[0], frame(2))
        counts = (await rig.control.live())[rig.link]

    assert (counts.upstream_messages, counts.downstream_messages, counts.open_connections) == (1, 1, 1)
    assert (counts.messages, counts.bytes, counts.delivered_bytes, counts.saturated) == (2, 32, 32, 0)


async def _send(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, data: bytes) -> None:
    writer.write(data)
    assert await read_exactly(reader, len(data)) == data


async def _offered_messages(rig: Rig, count: int) -> None:
    async def offered() -> bool:
        return (await rig.control.live())[rig.link].upstream_messages >= count

    await until(offered, f"{count} messages received by the relay")


def _mine(ledger: Ledger, rig: Rig) -> Ledger:
    return ledger.between({rig.link.source, rig.link.target})
