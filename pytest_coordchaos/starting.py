"""From a System to a LiveCluster: addresses, relay, links, nodes, ready. Nothing is left when it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.ground import Ground
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.hops import start_hops
from pytest_coordchaos.launching import launch_all
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.relay.link_control import LinkControl
from pytest_coordchaos.system.model import System
from pytest_coordchaos.wiring import edges, link_specs, node_specs

if TYPE_CHECKING:
    from pytest_coordchaos.relay.toxiproxy.source import Source

__all__ = ["start_cluster"]


async def start_cluster(
    system: System,
    *,
    ground: Ground,
    root: Path,
    seed: int,
    clock: Clock,
    asked_runtime: str = "",
    second: Source | None = None,
) -> LiveCluster:
    """Start a System in directory `root`, with a second hop behind its relay or without; returns when every node is ready.

    Raises:
        StartError: A node exited or was not ready in time; everything is ended again.
        CapabilityError: The runtime cannot give what the System needs.
        UsageError: The System cannot run in the runtime that was asked for.
    """
    await asyncio.to_thread(root.mkdir, parents=True)
    place = await ground.place(system, root, asked_runtime)
    system, runtime = place.system, place.runtime
    recorder = Recorder(root / "history.jsonl", clock.now_ns)
    relay: LinkControl | None = None
    try:
        relay = await start_hops(runtime, root, seed, len(edges(system)), second, ground.docker, place.relay)
        links = await relay.add_links(link_specs(system, place.layout))
        cluster = LiveCluster(
            system=system,
            runtime=runtime,
            relay=relay,
            recorder=recorder,
            clock=clock,
            directory=root,
            layout=place.layout,
            links=links,
            specs=node_specs(system, place.layout, links, place.home, seed),
            runtime_reason=place.reason,
            born=await relay.mark(),
        )
        await launch_all(system, cluster.launch, runtime, cluster.probe, clock)
        await cluster.wait_ready(system.ready_timeout_s)
        cluster.born = await relay.mark()  # what it took to get ready is no test's cost
    except BaseException:
        if relay is not None:
            await relay.close()
        await runtime.stop()
        recorder.close()
        raise
    return cluster
