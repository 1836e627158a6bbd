"""Faults on messages inside a simulation: the fates of the relay's own stages, drawn from the seed, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.faults.model import PASS, DirectionState, FrameKind, FrameRule, LinkMode
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.runtimes.sim.network import Network
from pytest_coordchaos.simulation.scenario import Scenario, perform
from pytest_coordchaos.workloads.register import register
from reference_systems.raft_kv.system import system
from tests.sim.rig import CUT, PORT, STEADY, Rig

UNANSWERED = DirectionState(replies_lost=True)
LINES = [b'{"type": "x", "n": %d}\n' % number for number in range(4)]


def meets(kind: FrameKind, *classes: str, rate: float = 1.0) -> DirectionState:
    """A state in which frames meet this."""
    return DirectionState(frames=(FrameRule(kind, classes, rate),))


def received(rig: Rig, state: DirectionState, pieces: list[bytes], *, changed: DirectionState | None = None) -> bytes:
    """What node a gets from node b, which sends pieces, 100 ms between them; the state is `changed` after the first piece."""
    got = bytearray()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            got.extend(data)
        writer.close()

    async def serve() -> None:
        await asyncio.start_server(receive, "0.0.0.0", PORT)

    async def send() -> None:
        _, writer = await asyncio.open_connection("a", PORT)
        rig.way("b", "a", state)
        for number, piece in enumerate(pieces):
            writer.write(piece)
            await asyncio.sleep(0.1)
            if number == 0 and changed is not None:
                rig.way("b", "a", changed)
        writer.close()
        await asyncio.sleep(1)

    async def story() -> None:
        await rig.on("a", serve())
        await rig.on("b", send())

    rig.run(story())
    return bytes(got)


def test_frames_are_lost_doubled_and_change_places() -> None:
    joined = [b"".join(LINES)]

    assert received(Rig(), meets(FrameKind.LOSE), joined) == b""
    assert received(Rig(), meets(FrameKind.LOSE, "y"), joined) == joined[0], "another class"
    assert received(Rig(), meets(FrameKind.DUPLICATE), joined) == b"".join(line + line for line in LINES)
    assert received(Rig(), meets(FrameKind.REORDER), joined) == LINES[1] + LINES[0] + LINES[3] + LINES[2]


def test_a_frame_that_no_other_overtakes_goes_on_after_a_while() -> None:
    assert received(Rig(), meets(FrameKind.REORDER), LINES) == b"".join(LINES)


def test_one_bit_of_a_corrupted_frame_is_another_and_its_end_stays() -> None:
    lines = received(Rig(), meets(FrameKind.CORRUPT), LINES).splitlines(keepends=True)

    assert len(lines) == 4
    for was, now in zip(LINES, lines, strict=True):
        assert sum((a ^ b).bit_count() for a, b in zip(was, now, strict=True)) == 1


def test_a_frame_that_was_under_way_when_the_fault_came_is_left_alone_and_so_is_one_after_it_went() -> None:
    half = [LINES[0][:5], LINES[0][5:] + LINES[1]]

    assert received(Rig(), PASS, half, changed=meets(FrameKind.LOSE)) == LINES[0]
    assert received(Rig(), meets(FrameKind.LOSE), half, changed=PASS) == LINES[0] + LINES[1]


def test_bytes_of_no_independent_frames_meet_nothing() -> None:
    assert received(Rig(protocol="bytes"), meets(FrameKind.LOSE), LINES) == b"".join(LINES)


def test_what_is_lost_was_offered_and_never_delivered() -> None:
    rig = Rig()
    start = rig.ledger.mark(0)
    received(rig, meets(FrameKind.LOSE), LINES)
    ledger = rig.ledger.between(start, rig.ledger.mark(0))

    assert [message.delivered_ns for message in ledger.messages] == [None] * 4
    assert [(total.offered_bytes, total.delivered_bytes) for total in ledger.totals if total.sender == "b"] == [(88, 0)]


def test_without_replies_a_request_arrives_and_its_connection_is_reset() -> None:
    rig, asked = Rig(), list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"{}\n")
        writer.close()

    async def serve() -> None:
        await asyncio.start_server(answer, "0.0.0.0", PORT)

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("a", PORT)
        rig.way("b", "a", PASS, UNANSWERED)
        writer.write(b"[]\n")
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()

    async def story() -> None:
        await rig.on("a", serve())
        await rig.on("b", ask())

    rig.run(story())
    assert asked == [b"[]\n"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (PASS, [b"0", b"1", b"2", b"3"]),
        (meets(FrameKind.LOSE), []),
        (meets(FrameKind.DUPLICATE), [b"0", b"0", b"1", b"1", b"2", b"2", b"3", b"3"]),
        (meets(FrameKind.REORDER), [b"1", b"0", b"3", b"2"]),
        (UNANSWERED, []),
    ],
)
def test_datagrams_meet_the_same(state: DirectionState, expected: list[bytes]) -> None:
    rig, got = Rig(protocol="bytes"), list[bytes]()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            got.append(data)

    async def receive() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(Receiver, local_addr=("0.0.0.0", PORT))

    async def send() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("a", PORT))
        rig.way("b", "a", state)
        for number in range(4):
            transport.sendto(b"%d" % number)
        await asyncio.sleep(1)

    async def story() -> None:
        await rig.on("a", receive())
        await rig.on("b", send())

    rig.run(story())
    assert got == expected
    assert rig.ledger.ways[0].offered == 4
    assert rig.ledger.ways[0].delivered == len(expected)


@pytest.mark.parametrize(("after", "expected"), [(PASS, [b"0", b"1"]), (CUT, [])])
def test_datagrams_held_come_when_the_cut_is_lifted_unless_it_became_one_that_swallows(
    after: DirectionState, expected: list[bytes]
) -> None:
    rig, got = Rig(protocol="bytes"), list[bytes]()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            got.append(data)

    async def receive() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(Receiver, local_addr=("0.0.0.0", PORT))

    async def send() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("a", PORT))
        rig.way("b", "a", DirectionState(mode=LinkMode.HOLD))
        transport.sendto(b"0")
        transport.sendto(b"1")
        await asyncio.sleep(1)
        assert got == []
        for state in (after, PASS):
            rig.way("b", "a", state)
            await asyncio.sleep(1)

    async def story() -> None:
        await rig.on("a", receive())
        await rig.on("b", send())

    rig.run(story())
    assert got == expected


def test_ports_of_a_pair_have_states_of_their_own_and_an_undeclared_one_is_cut_with_them() -> None:
    rig = Rig()
    ports = {1: ("peer", "frames", {}), 2: ("client", "http1", {})}
    network = Network(rig.loop, rig.ledger, STEADY, rig.tape.network, ("a", "b"), ports)
    lose = meets(FrameKind.LOSE)
    network.apply({LinkId("a", "b", "peer"): (lose, PASS), LinkId("a", "b", "client"): (PASS, PASS)})

    assert network.link("a", "b", 1).up.meddling == (lose.frames, False)
    assert network.link("a", "b", 2).up.meddling == ((), False)
    rig.loop.close()


@pytest.fixture
def installed() -> Iterator[None]:
    """Clocks and fences are in place."""
    patches.install()
    fences.install()
    yield
    fences.uninstall()
    patches.uninstall()


@pytest.mark.usefixtures("installed")
def test_seeds_of_raft_with_faults_on_messages_hold_and_are_the_same_run_twice() -> None:
    faults = ("lose", "duplicate", "reorder", "corrupt", "drop-replies:leader")
    scenario = Scenario(system=system(nodes=3), workload=register(rate_per_s=20), faults=faults, seconds=6, swarm=False)
    results = [perform(scenario, seed)[0] for seed in (1, 1, 2)]

    assert [result.summary for result in results] == ["", "", ""]
    assert results[0].trace_hash == results[1].trace_hash
    assert {word.partition("-")[0] for result in results for word in result.faults} >= {"lose", "duplicate", "reorder", "corrupt"}
