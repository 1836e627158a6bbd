"""Addresses of a System whose nodes are processes: all on this machine's loopback."""

from __future__ import annotations

from itertools import permutations

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.runtimes.base import Address, Runtime
from pytest_coordchaos.system.model import System
from pytest_coordchaos.wiring import Layout, edges

__all__ = ["process_layout"]


async def process_layout(system: System, runtime: Runtime) -> Layout:
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
