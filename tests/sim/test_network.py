"""The simulated network as asyncio's streams and protocols see it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.faults.model import PASS, DirectionState
from pytest_coordchaos.runtimes.sim.link import NetworkModel, Timing
from tests.sim.rig import CUT, PORT, REFUSED, STEADY, Rig, ask, serve_echo


def test_a_connection_and_a_question_take_two_round_trips() -> None:
    rig = Rig()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        assert await rig.on("b", ask()) == b"{}\n"

    rig.run(story())

    assert rig.elapsed_s == pytest.approx(1.004, abs=1e-9)


def test_the_ledger_counts_messages_with_times_and_both_ways() -> None:
    rig = Rig()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        since = rig.ledger.mark(rig.loop.now_ns)
        await rig.on("b", ask(b'{"x": 1}\n'))
        ledger = rig.ledger.between(since, rig.ledger.mark(rig.loop.now_ns))
        assert [(m.sender, m.receiver, m.size_bytes) for m in ledger] == [("b", "a", 9), ("a", "b", 9)]
        assert [m.delivered_ns and m.delivered_ns - m.offered_ns for m in ledger] == [1_000_000, 1_000_000]
        assert [(t.sender, t.offered_bytes, t.delivered_bytes, t.framed_bytes, t.turns) for t in ledger.totals] == [
            ("b", 9, 9, 9, 1),
            ("a", 9, 9, 9, 0),
        ]

    rig.run(story())


def test_nobody_listens_refused_and_no_such_machine() -> None:
    rig = Rig()

    async def story() -> None:
        with pytest.raises(ConnectionRefusedError, match="port 7000 refuses"):
            await rig.on("b", ask())
        with pytest.raises(socket.gaierror, match="no machine 'nowhere'"):
            await rig.on("b", ask(host="nowhere"))
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        rig.way("b", "a", REFUSED, REFUSED)
        with pytest.raises(ConnectionRefusedError):
            await rig.on("b", ask())
        assert await rig.on("c", ask())

    rig.run(story())


def test_refusing_resets_what_is_open() -> None:
    rig = Rig()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("a", PORT)
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        task = rig.on("b", client())
        await asyncio.sleep(1)
        rig.way("b", "a", REFUSED, REFUSED)
        await task

    rig.run(story())


@pytest.mark.parametrize("resets", [0, 1], ids=["held", "reset"])
def test_a_cut_holds_bytes_and_lifting_it_delivers_them_or_resets(resets: int) -> None:
    model = NetworkModel(
        nodes=STEADY.nodes, clients=STEADY.clients, resets=resets, datagram_loss=0, datagram_copies=0, longest_retry_ns=0
    )
    rig, answers = Rig(model), list[bytes | Exception]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("a", PORT)
        rig.way("b", "a", CUT)
        writer.write(b"1\n")
        writer.write(b"2\n")
        try:
            answers.append(await reader.readline())
            answers.append(await reader.readline())
        except ConnectionResetError as error:
            answers.append(error)
        writer.close()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        task = rig.on("b", client())
        await asyncio.sleep(60)
        assert answers == []
        rig.way("b", "a", PASS)
        await task

    rig.run(story())

    assert [type(answer) for answer in answers] == ([ConnectionResetError] if resets else [bytes, bytes])
    assert resets or answers == [b"1\n", b"2\n"]


def test_a_cut_of_answers_lets_questions_through() -> None:
    rig, heard = Rig(), list[bytes]()

    async def server() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readline())
            writer.write(b"yes\n")
            writer.close()

        await asyncio.start_server(serve, "0.0.0.0", PORT)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("a", PORT)
        rig.way("b", "a", PASS, CUT)
        writer.write(b"?\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await reader.readline()
        rig.way("b", "a", PASS, PASS)
        assert await reader.readline() == b"yes\n"
        writer.close()

    async def story() -> None:
        await rig.on("a", server())
        await rig.on("b", client())

    rig.run(story())

    assert heard == [b"?\n"]


def test_connecting_through_a_cut_is_tried_again_and_given_up_in_the_end() -> None:
    rig = Rig()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        rig.way("b", "a", CUT)
        task = rig.on("b", ask())
        await asyncio.sleep(10)
        assert not task.done()
        rig.way("b", "a", PASS)
        assert await task == b"{}\n"
        rig.way("b", "a", CUT)
        with pytest.raises(TimeoutError, match="timed out"):
            await rig.on("b", ask())

    rig.run(story())


def test_delays_of_faults_add_to_each_packet() -> None:
    rig = Rig()

    async def story() -> None:
        rig.on("a", serve_echo())
        await asyncio.sleep(1)
        rig.way("b", "a", DirectionState(delay_ms=50.0))
        await rig.on("b", ask())

    rig.run(story())

    assert rig.elapsed_s == pytest.approx(1.104, abs=1e-9)


def test_bytes_keep_their_order_whatever_the_jitter() -> None:
    rig = Rig(NetworkModel(nodes=Timing(base_ns=1000, jitter_ns=50_000_000, tail_ns=500_000_000)))

    async def server() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for number in range(500):
                writer.write(b"%d\n" % number)
                await asyncio.sleep(0.0001)
            writer.close()

        await asyncio.start_server(serve, "0.0.0.0", PORT)

    async def client() -> list[int]:
        reader, writer = await asyncio.open_connection("a", PORT)
        lines = (await reader.read()).splitlines()
        writer.close()
        return [int(line) for line in lines]

    async def story() -> None:
        await rig.on("a", server())
        assert await rig.on("b", client()) == list(range(500))

    rig.run(story())


def test_a_slow_reader_makes_the_writer_wait() -> None:
    rig, sent, resume = Rig(), list[int](), asyncio.Event()

    async def server() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await resume.wait()
            while await reader.read(65536):
                pass
            writer.close()

        await asyncio.start_server(serve, "0.0.0.0", PORT)

    async def client() -> None:
        _, writer = await asyncio.open_connection("a", PORT)
        for number in range(100):
            writer.write(bytes(65536))
            await writer.drain()
            sent.append(number)
        writer.close()
        await writer.wait_closed()

    async def story() -> None:
        await rig.on("a", server())
        task = rig.on("b", client())
        await asyncio.sleep(10)
        assert 2 <= len(sent) < 20
        resume.set()
        await task
        assert len(sent) == 100

    rig.run(story())


def test_half_close_and_the_end_of_both_ways() -> None:
    rig = Rig()

    async def server() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            everything = await reader.read()
            writer.write(b"%d" % len(everything))
            writer.close()

        await asyncio.start_server(serve, "0.0.0.0", PORT)

    async def client() -> bytes:
        reader, writer = await asyncio.open_connection("a", PORT)
        writer.write(bytes(1000))
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def story() -> None:
        await rig.on("a", server())
        assert await rig.on("b", client()) == b"1000"

    rig.run(story())


def test_a_killed_node_resets_its_peers_and_one_without_power_says_nothing_until_it_is_back() -> None:
    rig = Rig()

    async def client(seen: list[str]) -> None:
        reader, writer = await asyncio.open_connection("a", PORT)
        try:
            await reader.readline()
        except ConnectionResetError:
            seen.append("reset")
        writer.close()

    async def story() -> None:
        for power in (True, False):
            node, seen = rig.nodes["a"], list[str]()
            node.halted = node.dead = False
            rig.on("a", serve_echo())
            await asyncio.sleep(1)
            rig.on("b", client(seen))
            await asyncio.sleep(1)
            node.halted = node.dead = True
            rig.network.died(node, power=power)
            await asyncio.sleep(60)
            assert seen == (["reset"] if power else [])
            rig.network.booted("a")
            await asyncio.sleep(1)
            assert seen == ["reset"]

    rig.run(story())


def test_datagrams_are_lost_doubled_and_overtake_each_other() -> None:
    timing = Timing(base_ns=1_000_000, jitter_ns=20_000_000)
    rig = Rig(NetworkModel(nodes=timing, datagram_loss=10, datagram_copies=10))
    got = list[int]()

    class Receiver(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # as asyncio's docs do
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            got.append(int(data))
            self.transport.sendto(b"thanks", addr)

    class Sender(asyncio.DatagramProtocol):
        thanked = 0

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            Sender.thanked += 1

    async def receive() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(Receiver, local_addr=("0.0.0.0", PORT))

    async def send() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Sender, remote_addr=("a", PORT))
        for number in range(300):
            transport.sendto(b"%d" % number)
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)

    async def story() -> None:
        await rig.on("a", receive())
        await rig.on("b", send())

    rig.run(story())

    assert 230 < len(set(got)) < 300
    assert len(got) > len(set(got))
    assert got != sorted(got)
    assert 0 < Sender.thanked < len(got) + 60


def test_servers_close_and_free_their_port_and_a_taken_one_is_refused() -> None:
    rig = Rig()

    async def node() -> None:
        server = await asyncio.start_server(lambda r, w: None, "0.0.0.0", PORT)
        assert server.sockets[0].getsockname() == ("0.0.0.0", PORT)
        with pytest.raises(OSError, match="in use"):
            await asyncio.start_server(lambda r, w: None, "0.0.0.0", PORT)
        server.close()
        await server.wait_closed()
        again = await asyncio.start_server(lambda r, w: None, "0.0.0.0", PORT)
        again.close()

    async def story() -> None:
        await rig.on("a", node())

    rig.run(story())


def test_what_a_simulation_cannot_do_raises_with_a_sentence() -> None:
    rig = Rig()

    async def node() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(CapabilityError, match="a file descriptor belongs to the real machine"):
            loop.add_reader(0, print)
        with pytest.raises(CapabilityError, match="another program would live on the real clock"):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(CapabilityError, match="TLS records"):
            await asyncio.open_connection("a", PORT, ssl=True)
        with pytest.raises(RuntimeError, match="signals are not simulated"):
            loop.add_signal_handler(15, print)

    async def story() -> None:
        await rig.on("a", node())

    rig.run(story())
