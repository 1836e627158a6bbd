"""Links of datagrams on real sockets: every state, every fault on frames, every dialler told apart, and honest probes."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState, FrameKind, FrameRule
from pytest_coordchaos.relay import datagrams
from pytest_coordchaos.relay.control_client import RelayControl
from pytest_coordchaos.relay.datagram_flow import DatagramFlow
from pytest_coordchaos.relay.server import Relay
from tests.relay.rig import DROP, HOLD, REFUSE, RelayProcess, frame, link_name, spec, until

ALL = tuple(FrameRule(kind, (), 0.2) for kind in sorted(FrameKind))
STATES = {
    "cut": DROP,
    "held": HOLD,
    "refused": REFUSE,
    "slow": DirectionState(delay_ms=30.0),
    "meddled with": DirectionState(frames=ALL),
    "slow and meddled with": DirectionState(delay_ms=20.0, frames=ALL),
}


@asynccontextmanager
async def linked(relay: RelayProcess, protocol: str = "bytes") -> AsyncIterator[tuple[RelayControl, LinkId, list[socket.socket]]]:
    """A node that is a plain socket, and two diallers connected to its link."""
    node, one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
    control = await RelayControl.connect(relay.address)
    try:
        for sock in (node, one, two):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        link = link_name()
        made = dataclasses.replace(
            spec(link, node.getsockname(), protocol, {1: "vote"} if protocol == "frames" else None), transport="udp"
        )
        address = (await control.add_links([made]))[link]
        for sock in (one, two):
            sock.connect(address)
        yield control, link, [node, one, two]
    finally:
        for sock in (node, one, two):
            sock.close()
        await control.close()


async def came(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    """The next datagram, and who sent it."""
    async with asyncio.timeout(10):
        while True:
            try:
                data, sender = sock.recvfrom(65535)
            except BlockingIOError:
                await asyncio.sleep(0.001)
                continue
            return data, sender


def nothing(sock: socket.socket) -> bool:
    """No datagram so far."""
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    return False


async def test_answers_find_their_way_to_whoever_asked(relay: RelayProcess) -> None:
    async with linked(relay) as (_, _, (node, one, two)):
        one.send(b"from one")
        two.send(b"from two")
        senders = dict([await came(node), await came(node)])
        node.sendto(b"to two", senders[b"from two"])
        node.sendto(b"to one", senders[b"from one"])

        assert (await came(one))[0] == b"to one"
        assert (await came(two))[0] == b"to two"


@pytest.mark.parametrize("protocol", ["bytes", "frames", "json-lines"])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
async def test_every_state_is_proven_both_ways(relay: RelayProcess, state: DirectionState, protocol: str) -> None:
    async with linked(relay, protocol) as (control, link, _):
        probes = await control.apply({link: (state, PASS)}) + await control.apply({link: (PASS, state)})
        lost = await control.apply({link: (PASS, DirectionState(replies_lost=True))})

    assert [probe.ok for probe in probes + lost] == [True] * 6, probes


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
async def test_a_state_that_is_not_in_force_is_noticed(monkeypatch: pytest.MonkeyPatch, state: DirectionState) -> None:
    monkeypatch.setattr(DatagramFlow, "set_state", lambda flow, state: None)
    relay, link = Relay(seed="1", max_messages=1000), link_name()
    await relay.add_links([dataclasses.replace(spec(link, ("127.0.0.1", 1)), transport="udp")])
    probes = await relay.apply({link: (state, state)})
    await relay.close()

    assert [probe.ok for probe in probes] == [False, False]


async def test_a_datagram_is_one_message_and_a_lost_one_is_offered(relay: RelayProcess) -> None:
    async with linked(relay) as (control, link, (node, one, _)):
        mark = await control.mark()
        one.send(b"arrives")
        sender = (await came(node))[1]
        await control.apply({link: (DROP, PASS)})
        one.send(b"is lost")

        async def offered() -> bool:
            return (await control.live())[link].upstream_messages == 2

        await until(offered, "the relay took the second datagram")
        node.sendto(b"back", sender)
        assert (await came(one))[0] == b"back"
        ledger = await control.ledger(mark)

    mine = [message for message in ledger if message.link == link]
    assert [(m.message_class, m.size_bytes, m.delivered_ns is not None) for m in mine] == [
        ("datagram", 7, True),
        ("datagram", 7, False),
        ("datagram", 4, True),
    ]
    assert {total.protocol for total in ledger.totals if total.link == link} == {"datagrams"}


async def test_a_frame_in_a_datagram_names_its_class_and_operation(relay: RelayProcess) -> None:
    async with linked(relay, "frames") as (control, link, (node, one, _)):
        mark = await control.mark()
        one.send(frame(1, 77, b"body"))
        await came(node)
        (message,) = (m for m in (await control.ledger(mark)) if m.link == link)

    assert (message.message_class, message.operations) == ("vote", (77,))


async def test_faults_on_frames_strike_whole_datagrams(relay: RelayProcess) -> None:
    async with linked(relay) as (control, link, (node, one, _)):
        await control.apply({link: (DirectionState(frames=(FrameRule(FrameKind.REORDER, (), 1.0),)), PASS)})
        one.send(b"first")
        one.send(b"second")
        assert [(await came(node))[0] for _ in range(2)] == [b"second", b"first"]
        await control.apply({link: (DirectionState(frames=(FrameRule(FrameKind.DUPLICATE, (), 1.0),)), PASS)})
        one.send(b"twice")
        one.send(b"")

        assert [(await came(node))[0] for _ in range(3)] == [b"twice", b"twice", b""]


async def test_held_datagrams_keep_their_order_and_their_diallers(relay: RelayProcess) -> None:
    async with linked(relay) as (control, link, (node, one, two)):
        await control.apply({link: (HOLD, HOLD)})
        for number in range(5):
            one.send(b"%d" % number)
        two.send(b"two")

        async def taken() -> bool:
            return (await control.live())[link].upstream_messages == 6

        await until(taken, "the relay took six datagrams")
        assert nothing(node)
        await control.apply({link: (PASS, PASS)})
        arrived = [await came(node) for _ in range(6)]
        ours = [data for data, sender in arrived if sender == next(s for d, s in arrived if d == b"0")]

    assert ours == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_hold_that_is_full_loses_what_is_too_much_and_says_so(relay: RelayProcess) -> None:
    async with linked(relay) as (control, link, (_, one, _)):
        await control.apply({link: (HOLD, PASS)})

        async def full() -> bool:
            one.send(bytes(50_000))
            return (await control.live())[link].saturated > 0

        await until(full, "the queue is full")


def test_a_datagram_is_sent_although_an_earlier_one_met_nobody() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
    ):
        node.bind(("127.0.0.1", 0))
        one.connect(node.getsockname())
        again.settimeout(10)
        node.close()
        datagrams.send_anyway(one, b"nobody")  # on loopback the refusal is there when this returns
        again.bind(one.getpeername())
        datagrams.send_anyway(one, b"somebody")
        assert again.recv(100) == b"somebody"


async def test_a_node_that_is_down_costs_only_its_datagrams(relay: RelayProcess) -> None:
    async with linked(relay) as (control, link, (node, one, _)):
        place = node.getsockname()
        node.close()
        for _ in range(3):
            one.send(b"nobody")

        async def taken() -> bool:
            return (await control.live())[link].upstream_messages == 3

        await until(taken, "the relay took three datagrams")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.setblocking(False)
            again.bind(place)
            one.send(b"hello again")
            assert (await came(again))[0] == b"hello again"


async def test_idle_diallers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_IDLE_NS", 0)
    monkeypatch.setattr(datagrams, "_SWEEP_S", 0.01)
    relay, link = Relay(seed="1", max_messages=1000), link_name()
    (address,) = (await relay.add_links([dataclasses.replace(spec(link, ("127.0.0.1", 9)), transport="udp")])).values()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"once", address)

            async def known() -> bool:
                return relay.live()[0].upstream_messages == 1

            async def forgotten() -> bool:
                return relay.live()[0].open_connections == 0

            await until(known, "the dialler is known")
            await until(forgotten, "the dialler is forgotten")
    finally:
        await relay.close()
