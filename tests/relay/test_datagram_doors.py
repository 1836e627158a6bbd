"""Links of datagrams behind an ambassador: its sockets, and several links on one address told apart by who sends."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import PASS
from pytest_coordchaos.relay.control_client import RelayControl
from pytest_coordchaos.relay.server import Relay
from tests.relay.rig import DROP, HOLD, REFUSE, RelayProcess, link_name, spec, until
from tests.relay.test_datagrams import came, nothing

N1, N2, STRANGER = "127.83.6.1", "127.83.6.2", "127.83.6.3"
NO_PID = 1 << 30


class Ends:
    """A node and three diallers, all plain sockets."""

    def __init__(self) -> None:
        self.node, self.one, self.two, self.stranger = (self._bound(host) for host in ("127.0.0.1", N1, N2, STRANGER))

    @property
    def diallers(self) -> list[socket.socket]:
        """Those that send to a link."""
        return [self.one, self.two, self.stranger]

    def connect(self, address: tuple[str, int]) -> None:
        """Let the diallers send there."""
        for sock in self.diallers:
            sock.connect(address)

    def close(self) -> None:
        """Close them all."""
        for sock in (self.node, *self.diallers):
            sock.close()

    def _bound(self, host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((host, 0))
        return sock


@pytest.fixture
def ends():
    """A node and its diallers."""
    ends = Ends()
    yield ends
    ends.close()


async def _links(control: RelayControl, door: str, ends: Ends, *sources: tuple[str, ...]) -> list[LinkId]:
    """Links from these diallers to the node, all of which listen at one address."""
    base = replace(
        spec(link_name(), ends.node.getsockname()), transport="udp", listen_door=door, dial_door=door, upstream_source=""
    )
    (address,) = (await control.add_links([replace(base, sources=sources[0])])).values()
    others = [replace(base, link=link_name(), listen=address, sources=each) for each in sources[1:]]
    await control.add_links(others)
    ends.connect(address)
    return [base.link, *(other.link for other in others)]


async def _answered(node: socket.socket, dialler: socket.socket) -> bool:
    """What the dialler says arrives, and the answer comes back to it."""
    dialler.send(b"hello")
    data, sender = await came(node)
    node.sendto(b"answer", sender)
    return (data, (await came(dialler))[0]) == (b"hello", b"answer")


async def test_links_on_one_address_are_told_apart_by_who_sends(relay: RelayProcess, door: str, ends: Ends) -> None:
    control = await RelayControl.connect(relay.address)
    links = await _links(control, door, ends, (N1,), (N2,), ())
    for dialler, times in zip(ends.diallers, (1, 2, 3), strict=True):
        for _ in range(times):
            assert await _answered(ends.node, dialler)
    live = await control.live()
    await control.close()

    assert [live[link].upstream_bytes for link in links] == [5, 10, 15]
    assert [live[link].downstream_bytes for link in links] == [6, 12, 18]


async def test_faults_hold_for_their_dialler_alone(relay: RelayProcess, door: str, ends: Ends) -> None:
    control = await RelayControl.connect(relay.address)
    first, second, rest = await _links(control, door, ends, (N1,), (N2,), ())
    probes = await control.apply({first: (DROP, PASS), second: (HOLD, PASS), rest: (PASS, PASS)})
    assert all(probe.ok for probe in probes), probes
    ends.one.send(b"lost")
    ends.two.send(b"held")
    assert await _answered(ends.node, ends.stranger)
    assert nothing(ends.node)

    probes = await control.apply({first: (REFUSE, REFUSE), second: (PASS, PASS)})
    assert all(probe.ok for probe in probes), probes
    assert (await came(ends.node))[0] == b"held"
    assert nothing(ends.node)

    probes = await control.apply({first: (PASS, PASS)})
    assert all(probe.ok for probe in probes), probes
    assert await _answered(ends.node, ends.one)
    await control.close()


async def test_a_stranger_is_nobodys_where_every_link_names_its_diallers(relay: RelayProcess, door: str, ends: Ends) -> None:
    control = await RelayControl.connect(relay.address)
    (link,) = await _links(control, door, ends, (N1,))
    ends.stranger.send(b"who am I?")
    assert await _answered(ends.node, ends.one)
    live = await control.live()
    await control.close()

    assert live[link].upstream_bytes == 5


async def test_links_whose_diallers_could_not_be_told_apart_are_refused(relay: RelayProcess, door: str, ends: Ends) -> None:
    control = await RelayControl.connect(relay.address)
    with pytest.raises(RelayError, match=r"link clients->n\d+:peer could not be told from clients->n\d+:peer there"):
        await _links(control, door, ends, (N1,), (N2, N1))
    (link,) = await _links(control, door, ends, (N2,))
    assert await _answered(ends.node, ends.two)
    assert (await control.live())[link].upstream_messages == 1
    await control.close()


async def test_the_first_datagrams_of_a_dialler_keep_their_order(relay: RelayProcess, door: str, ends: Ends) -> None:
    """They come before the ambassador has given the socket by which the node is to know their sender."""
    control = await RelayControl.connect(relay.address)
    await _links(control, door, ends, (N1,))
    for number in range(20):
        ends.one.send(b"%d" % number)
    arrived = [await came(ends.node) for _ in range(20)]
    await control.close()

    assert [data for data, _ in arrived] == [b"%d" % number for number in range(20)]
    assert len({sender for _, sender in arrived}) == 1


async def test_a_door_that_is_gone_is_a_sentence(relay: RelayProcess, tmp_path: Path, ends: Ends) -> None:
    control = await RelayControl.connect(relay.address)
    with pytest.raises(RelayError, match=r"cannot listen on 127\.0\.0\.1:0: No such file or directory"):
        await _links(control, str(tmp_path / "door.sock"), ends, (N1,))
    await control.close()


async def test_what_is_sent_to_a_dead_node_is_lost_and_not_delivered_to_its_successor(door: str, ends: Ends) -> None:
    relay = Relay(seed="1", max_messages=1000)
    link = LinkId("n1", "n2", "peer")
    made = replace(spec(link, ends.node.getsockname()), transport="udp", listen_door=door, dial_door=door, upstream_source="")
    try:
        ends.connect((await relay.add_links([made]))[link])
        relay.namespaces.watch("n2", NO_PID, "127.0.0.1", [])
        ends.one.send(b"to a dead node")

        async def offered() -> bool:
            return relay.live()[0].upstream_messages == 1

        await until(offered, "the relay took the datagram")
        relay.namespaces.watch("n2", os.getpid(), "127.0.0.1", [])
        ends.one.send(b"to its successor")
        assert (await came(ends.node))[0] == b"to its successor"
        assert relay.live()[0].delivered_bytes == len(b"to its successor")
    finally:
        await relay.close()
