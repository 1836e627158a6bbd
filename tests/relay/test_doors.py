"""Links behind an ambassador: its sockets, and several links on one address told apart by who dials."""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import PASS
from pytest_coordchaos.relay import bypass_namespaces
from pytest_coordchaos.relay.bypass_namespaces import NOT_READABLE
from pytest_coordchaos.relay.control_client import LinkSpec, RelayControl
from pytest_coordchaos.relay.server import Relay
from pytest_coordchaos.runtimes.doors import Door
from tests.relay.rig import DROP, REFUSE, RelayProcess, link_name, rigged, spec

N1, N2, STRANGER = "127.83.5.1", "127.83.5.2", "127.83.5.3"


async def _three_links(
    relay: RelayProcess, door: str, node: tuple[str, int]
) -> tuple[RelayControl, list[LinkId], tuple[str, int]]:
    """Links of n1, of n2 and of everybody else that accept at one address."""
    control = await RelayControl.connect(relay.address)
    base = replace(spec(link_name(), node), listen_door=door, dial_door=door)
    address = next(iter((await control.add_links([replace(base, sources=(N1,))])).values()))
    others = [replace(base, link=link_name(), listen=address, sources=sources) for sources in ((N2,), ())]
    await control.add_links(others)
    return control, [base.link, *(other.link for other in others)], address


async def _says(source: str, address: tuple[str, int]) -> bytes:
    """What comes back for five bytes dialled from an address."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
    try:
        writer.write(b"hello")
        async with asyncio.timeout(10):
            return await reader.read(5)
    finally:
        writer.transport.abort()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(5))
    writer.close()


async def test_a_door_gives_more_sockets_than_it_keeps_ready(door: str) -> None:
    through = Door(door)
    taken = await asyncio.gather(*(through.fresh() for _ in range(100)))
    for sock in taken:
        sock.bind(("127.0.0.1", 0))

    assert len({sock.getsockname() for sock in taken}) == 100

    through.close()
    for sock in taken:
        sock.close()


async def test_links_on_one_address_are_told_apart_by_who_dials(relay: RelayProcess, door: str) -> None:
    async with await asyncio.start_server(_echo, "127.0.0.1", 0) as node:
        control, links, address = await _three_links(relay, door, node.sockets[0].getsockname())
        for source, times in ((N1, 1), (N2, 2), (STRANGER, 3)):
            for _ in range(times):
                assert await _says(source, address) == b"hello"
        live = await control.live()
        await control.close()

    assert [live[link].upstream_bytes for link in links] == [5, 10, 15]


async def test_a_cut_and_a_refusal_hold_for_their_dialler_alone(relay: RelayProcess, door: str) -> None:
    async with await asyncio.start_server(_echo, "127.0.0.1", 0) as node:
        control, (first, second, rest), address = await _three_links(relay, door, node.sockets[0].getsockname())
        probes = await control.apply({first: (REFUSE, REFUSE), second: (PASS, DROP)})
        assert all(probe.ok for probe in probes), probes
        with pytest.raises(ConnectionResetError):
            await _says(N1, address)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_says(N2, address), 0.3)
        assert await _says(STRANGER, address) == b"hello"

        refused = await control.apply({second: (REFUSE, PASS), rest: (REFUSE, PASS)})
        assert all(probe.ok for probe in refused), refused
        with pytest.raises(ConnectionRefusedError):
            await _says(STRANGER, address)

        healed = await control.apply(dict.fromkeys((first, second, rest), (PASS, PASS)))
        assert all(probe.ok for probe in healed), healed
        assert [await _says(source, address) for source in (N1, N2, STRANGER)] == [b"hello"] * 3
        await control.close()


async def test_a_stranger_is_nobodys_where_every_link_names_its_diallers(relay: RelayProcess, door: str) -> None:
    async with await asyncio.start_server(_echo, "127.0.0.1", 0) as node:
        control = await RelayControl.connect(relay.address)
        base = replace(spec(link_name(), node.sockets[0].getsockname()), listen_door=door, sources=(N1,))
        (address,) = (await control.add_links([base])).values()
        assert await _says(N1, address) == b"hello"
        with pytest.raises(ConnectionResetError):
            await _says(STRANGER, address)
        await control.close()


async def test_links_whose_diallers_could_not_be_told_apart_are_refused(relay: RelayProcess, door: str) -> None:
    async with rigged(relay) as rig:
        base = replace(spec(link_name(), rig.node), listen_door=door, sources=(N1,))
        (address,) = (await rig.control.add_links([base])).values()
        again: LinkSpec = replace(base, link=link_name(), listen=address, sources=(N2, N1))
        with pytest.raises(RelayError, match=f"link {again.link} could not be told from {base.link} there"):
            await rig.control.add_links([again])


async def test_a_door_that_is_gone_is_a_sentence_and_proves_nothing(relay: RelayProcess, tmp_path: Path) -> None:
    async with rigged(relay) as rig:
        nobody = replace(spec(link_name(), rig.node), listen_door=str(tmp_path / "door.sock"))
        with pytest.raises(RelayError, match=r"cannot listen on 127\.0\.0\.1:0: No such file or directory"):
            await rig.control.add_links([nobody])


async def test_a_node_whose_table_of_sockets_cannot_be_read_is_said_in_the_ledger() -> None:
    relay = Relay(seed="1", max_messages=10)
    relay.namespaces.watch("n1", 0, "198.18.0.2", ["198.18.0.3"])
    part = relay.ledger((0, 0), (0, 1))
    await relay.close()

    assert part.note == NOT_READABLE


async def test_only_what_the_relay_has_no_part_in_is_a_bypass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's own dials, a node's talk with itself and listeners are none; an undeclared port of a peer is one."""
    relay = Relay(seed="1", max_messages=10)
    one, two, ours = "198.18.0.2", "198.18.0.3", "198.18.0.9"
    relay.namespaces.add([replace(spec(LinkId("n1", "n2", "peer"), (two, 7000)), dial_door="/door")])
    for node, pid, host in (("n1", 1, one), ("n2", 2, two)):
        relay.namespaces.watch(node, pid, host, [ours])
    innocent = [_socket(one, 7000, ours, 40000), _socket(one, 5000, one, 5001), _socket(one, 7000, "0.0.0.0", 0, state="0A")]
    tables = {1: b"".join([*innocent, _socket(one, 40001, two, 7000)]), 2: _socket(two, 9092, one, 40002)}
    monkeypatch.setattr(bypass_namespaces, "read_tables", tables.__getitem__)
    await relay.namespaces.look()
    seen = relay.namespaces.seen(0, 1 << 62)
    await relay.close()

    assert sorted(words.partition(", first")[0] for words in seen) == [
        f"n2 ({two}:9092) and n1 ({one}:40002) were connected round the relay",
        f"port peer of n2 ({two}:7000) was reached round the relay from n1 ({one}:40001)",
    ]


def _socket(local: str, port: int, remote: str, remote_port: int, *, state: str = "01") -> bytes:
    """A line of the kernel's table."""
    places = (local, port), (remote, remote_port)
    ends = [f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{number:04X}" for host, number in places]
    return f"   0: {ends[0]} {ends[1]} {state} 00000000:00000000 00:00000000 00000000     0        0 12345 1\n".encode()
