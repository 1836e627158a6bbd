"""The kit's datagrams in the simulator: the same code as on real sockets, with the message's class in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reference_systems.kit.frames import Frame
from reference_systems.kit.network import RealNetwork
from tests.sim.rig import CUT, PORT, Rig


def network(rig: Rig, own: str) -> RealNetwork:
    """What a node of that name has, with links to all others."""
    hosts = rig.network.hosts
    links = {name: {"rpc": (host, PORT)} for name, host in hosts.items() if name != own}
    return RealNetwork(dict, bind={"rpc": (hosts[own], PORT)}, links=links, spawn=lambda c: asyncio.ensure_future(c))


async def listen(rig: Rig, own: str, take: Callable[[Frame], None]) -> None:
    """Take frames, for ever."""
    await network(rig, own).open_datagrams("rpc", take)
    await asyncio.sleep(100)


def test_frames_cross_links_by_name_are_counted_by_class_and_meet_cuts() -> None:
    rig = Rig(protocol="frames")
    came: list[tuple[float, Frame]] = []

    async def talk() -> None:
        datagrams = await network(rig, "a").open_datagrams("rpc", lambda frame: None)
        datagrams.send("b", Frame(kind=5, operations=(3,), sender=1))
        await asyncio.sleep(1)
        rig.way("a", "b", CUT)
        datagrams.send("b", Frame(kind=6, sender=1))
        await asyncio.sleep(1)

    async def story() -> None:
        rig.on("b", listen(rig, "b", lambda frame: came.append((round(rig.elapsed_s, 6), frame))))
        await asyncio.sleep(0.001)
        await rig.on("a", talk())

    since = rig.ledger.mark(rig.loop.now_ns)
    rig.run(story())

    messages = rig.ledger.between(since, rig.ledger.mark(rig.loop.now_ns)).messages
    assert came == [(0.002, Frame(kind=5, operations=(3,), sender=1))]
    assert [(m.sender, m.receiver, m.message_class, m.operations) for m in messages] == [
        ("a", "b", "class-5", (3,)),
        ("a", "b", "class-6", ()),
    ]
