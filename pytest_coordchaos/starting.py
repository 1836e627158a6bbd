"""From a System to a LiveCluster: addresses, relay, links, nodes, ready. Nothing is left when it fails."""

from __future__ import annotations

import asyncio
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.hops import start_hops
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.relay.link_control import LinkControl
from pytest_coordchaos.runtimes.base import Address, Runtime
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.system.model import System
from pytest_coordchaos.wiring import Layout, edges, link_specs, node_specs

if TYPE_CHECKING:
    from pytest_coordchaos.relay.toxiproxy.source import Source

__all__ = ["start_cluster"]


async def start_cluster(
    system: System,
    *,
    guard: Guard,
    run_id: str,
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
    """
    await asyncio.to_thread(root.mkdir, parents=True)
    runtime = await ProcessRuntime.create(guard, run_id, root)
    recorder = Recorder(root / "history.jsonl", clock.now_ns)
    relay: LinkControl | None = None
    try:
        layout = await _lay_out(system, runtime)
        relay = await start_hops(runtime, root, seed, len(edges(system)), second)
        links = await relay.add_links(link_specs(system, layout))
        specs = node_specs(system, layout, links, root, seed)
        await asyncio.gather(*(runtime.launch(spec) for spec in specs.values()))
        cluster = LiveCluster(
            system=system,
            runtime=runtime,
            relay=relay,
            recorder=recorder,
            clock=clock,
            directory=root,
            layout=layout,
            links=links,
            specs=specs,
            runtime_reason="asked for" if asked_runtime else f"its System gives {'an entry' if system.entry else 'a command'}",
            born=await relay.mark(),
        )
        await cluster.wait_ready(system.ready_timeout_s)
        cluster.born = await relay.mark()  # what it took to get ready is no test's cost
    except BaseException:
        if relay is not None:
            await relay.close()
        await runtime.stop()
        recorder.close()
        raise
    return cluster


async def _lay_out(system: System, runtime: Runtime) -> Layout:
    """Choose addresses: per node on one loopback address, or shared names on loopback addresses of their own."""
    places = [(name, port.name) for name in system.node_names for port in system.ports_of(name)]
    (relay_source,) = await runtime.claim_hosts(1)
    if system.addresses == "per-node":
        free = await runtime.reserve(len(places))
        listen = dict.fromkeys(edges(system), ("127.0.0.1", 0))
        return Layout(bind=dict(zip(places, free, strict=True)), listen=listen, hosts={}, relay_source=relay_source)
    return await _shared_layout(system, runtime, relay_source)


async def _shared_layout(system: System, runtime: Runtime, relay_source: str) -> Layout:
    """Each member has an address of its own, and so has each directed edge: a port's number is the same to all."""
    names = system.node_names
    pairs = list(permutations(names, 2))
    claimed = await runtime.claim_hosts(len(names) + len(pairs))
    own = dict(zip(names, claimed, strict=False))
    edge = dict(zip(pairs, claimed[len(names) :], strict=True))
    places = [(name, port) for name in names for port in system.ports_of(name)]
    open_names = dict.fromkeys(port.name for _, port in places if port.number is None)
    spare = dict(zip(open_names, await runtime.reserve(len(open_names)), strict=True))
    numbers = {(name, port.name): port.number or spare[port.name][1] for name, port in places}
    return Layout(
        bind={(name, port): (own[name], number) for (name, port), number in numbers.items()},
        listen={link: _shared_listen(link, edge, numbers) for link in edges(system)},
        hosts={name: {name: own[name], **{peer: edge[name, peer] for peer in names if peer != name}} for name in names},
        relay_source=relay_source,
    )


def _shared_listen(link: LinkId, edge: dict[tuple[str, str], str], numbers: dict[tuple[str, str], int]) -> Address:
    host = edge.get((link.source, link.target))
    return (host, numbers[link.target, link.port]) if host else ("127.0.0.1", 0)
