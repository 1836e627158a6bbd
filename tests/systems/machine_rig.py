"""One node that tells of its clocks and its disk, on every runtime: stories are told to its cluster."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pytest_coordchaos import Cluster, Port, Session, System, ready_port
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.simulation.world import Model, World
from reference_systems.kit.frames import Frame, FrameDecoder, encode

CLASSES = {1: "ask", 2: "answer"}
SYSTEM = System(
    name="machine",
    nodes=1,
    entry="tests.systems.programs.machine_node:main",
    ports=[Port("client", protocol="frames", classes=CLASSES)],
    ready=ready_port("client"),
)

Story = Callable[[LiveCluster], Awaitable[None]]


async def ask(cluster: LiveCluster, what: str, argument: Any = None, *, node: str = "n1") -> Any:
    """What a node answers, through the client's link; EOFError when it ends instead."""
    reader, writer = await cluster.open_connection(node, "client")
    try:
        writer.write(encode(Frame(kind=1, body=json.dumps([what, argument]).encode())))
        decoder = FrameDecoder()
        while data := await reader.read(4096):
            for frame in decoder.feed(data):
                return json.loads(frame.body)
    finally:
        writer.transport.abort()
    raise EOFError(f"{node} ended the connection")


async def until_dead(cluster: LiveCluster, node: str = "n1") -> None:
    """Wait for its end."""
    deadline_ns = cluster.clock.now_ns() + 20_000_000_000
    while cluster.state(node) != "dead":
        assert cluster.clock.now_ns() < deadline_ns, f"{node} lives"
        await cluster.clock.sleep(0.01)


def true_wall_s(cluster: LiveCluster) -> float:
    """Seconds since 1970 by a right clock."""
    return time.time() if cluster.runtime.name != "sim" else (1_767_225_600_000_000_000 + cluster.clock.now_ns()) / 1e9


def tell_sim(system: System, story: Story, seed: int = 1) -> None:
    """Tell a story to a simulated cluster with exact clocks."""
    patches.install()
    fences.install()
    world = World(system, seed, model=Model.unit())

    async def whole() -> None:
        await story(await world.start())

    try:
        world.run(whole(), limit_s=600)
    finally:
        world.close()
        fences.uninstall()
        patches.uninstall()


def tell_real(session: Session, cluster: Cluster, story: Story) -> None:
    """Tell a story to a cluster of real nodes, and heal it."""
    live = cluster.live
    assert isinstance(live, LiveCluster)
    try:
        session.portal.call(_in_time(story(live)))
    finally:
        cluster.heal()


async def _in_time(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, 60)
