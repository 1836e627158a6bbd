"""Links behind an ambassador: its sockets, and several links on one address told apart by who dials."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import PASS
from pytest_coordchaos.relay.control_client import LinkSpec, RelayControl
from pytest_coordchaos.runtimes import ambassador
from pytest_coordchaos.runtimes.doors import Door
from tests.relay.rig import DROP, REFUSE, RelayProcess, link_name, rigged, spec

N1, N2, STRANGER = "127.83.5.1", "127.83.5.2", "127.83.5.3"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """An ambassador of this namespace, behind a path that is too long for a UNIX socket's address."""
    place = tmp_path / ("long" * 30)
    place.mkdir()
    argv = [sys.executable, "-I", "-S", ambassador.__file__, str(place)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("boot ")
        while not (place / ambassador.SOCKET_NAME).exists():
            assert process.poll() is None
        yield str(place / ambassador.SOCKET_NAME)
        process.kill()


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
