"""From a System to containers: their network, addresses, doors and images. What is under `docker` is imported here only."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from itertools import count
from pathlib import Path

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import StartError
from pytest_coordchaos.runtimes.base import Address
from pytest_coordchaos.runtimes.docker import DockerRuntime
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.system.compose_ports import with_exposed
from pytest_coordchaos.system.model import CLIENTS, Node, System
from pytest_coordchaos.wiring import Home, Layout, Reach, edges

__all__ = ["container_home", "container_layout", "container_runtime", "with_exposed_ports"]

_RELAY = "relay"
_FIRST_PORT = 10_000
_ROOT = Path("/coordchaos")


async def container_runtime(system: System, docker: Docker, guard: Guard, run_id: str, root: Path) -> DockerRuntime:
    """A network for a System, with one ambassador for all, or one for each node whose name it takes over.

    Raises:
        CapabilityError: The engine's containers cannot be reached from here.
        StartError: The network or an ambassador could not be made.
    """
    ambassadors = {node.name: _names(node) for node in system.members} if system.addresses == "shared" else {_RELAY: ()}
    return await DockerRuntime.create(docker, guard, run_id, root, ambassadors)


async def container_home(system: System, runtime: DockerRuntime) -> Home:
    """Where its nodes live inside of their containers; an image for `entry` nodes is built when there is none yet.

    Raises:
        StartError: An image is not there.
    """
    if system.entry is not None:
        image = await runtime.entry_image([system.host, system.entry.partition(":")[0]])
        return Home(root=_ROOT, python="python3", images={node.name: image for node in system.everyone})
    return Home(root=_ROOT, python="python3", images={node.name: system.image_of(node.name) or "" for node in system.everyone})


def container_layout(system: System, runtime: DockerRuntime) -> Layout:
    """Every node has an address of its own, hence the ports it likes; links listen in the network of their diallers.

    Raises:
        StartError: Somebody else has a host port that a recipe publishes.
    """
    shared = system.addresses == "shared"
    door_of = {name: name if shared else _RELAY for name in system.node_names}
    free, numbers = count(_FIRST_PORT), _numbers(system)
    ambassadors = runtime.ambassadors
    ours = tuple(ambassadors.host(name) for name in dict.fromkeys(door_of.values()))
    listen: dict[LinkId, Address] = {}
    published = _published(system)
    for link in edges(system):
        if link.source == CLIENTS:
            place = published.get((link.target, link.port), ("127.0.0.1", 0))
            listen[link] = place if runtime.relay is None else runtime.relay.listen(place, _transport(system, link))
        else:
            listen[link] = (ambassadors.host(door_of[link.target]), numbers[link.target, link.port] if shared else next(free))
    return Layout(
        bind={(name, port): (runtime.host(name), number) for (name, port), number in numbers.items()},
        listen=listen,
        hosts=_hosts(system, runtime) if shared else {},
        relay_source="",
        reach={
            node.name: Reach(
                door=ambassadors.path(door_of.get(node.name, next(iter(door_of.values())))),
                host=runtime.host(node.name),
                ours=ours,
            )
            for node in system.everyone
        },
        sources={link: (runtime.host(link.source),) for link in listen if shared and link.source != CLIENTS},
    )


async def with_exposed_ports(system: System, docker: Docker, scratch: Path) -> System:
    """The System with the ports added that the images of its recipes expose. They are built or pulled for it, if need be.

    Raises:
        StartError: An image is not there, or cannot be built.
    """
    nodes = [node for node in system.everyone if node.recipe is not None]
    exposed = await asyncio.gather(*(docker.images.of_recipe(node.recipe, scratch) for node in nodes if node.recipe))
    numbers = dict(zip((node.name for node in nodes), exposed, strict=True))
    members = [
        replace(node, ports=with_exposed(system.ports_of(node.name), numbers[node.name])) if node.name in numbers else node
        for node in system.members
    ]
    return replace(system, nodes=members)


def _transport(system: System, link: LinkId) -> str:
    return system.port(link.target, link.port).transport


def _names(node: Node) -> tuple[str, ...]:
    """DNS names that its ambassador takes over."""
    return (node.name,) if node.recipe is None else node.recipe.names


def _published(system: System) -> dict[tuple[str, str], Address]:
    """(node, port) -> where on this machine clients expect it.

    Raises:
        StartError: Somebody else listens there, or this user may not.
    """
    recipes = [(node.name, node.recipe) for node in system.members if node.recipe is not None]
    places = {(name, port): place for name, recipe in recipes for port, place in recipe.publish.items()}
    for (name, port), place in places.items():
        streams = system.port(name, port).transport == "tcp"
        with socket.socket(type=socket.SOCK_STREAM if streams else socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(streams))
            try:
                probe.bind(place)
            except OSError as error:
                where = f"{place[0]}:{place[1]}, which service {name} publishes for its port {port}"
                raise StartError(f"Nothing can listen on {where}: {error.strerror}; free it, or say publish=False") from None
    return places


def _hosts(system: System, runtime: DockerRuntime) -> dict[str, dict[str, str]]:
    """Node -> its own names, which lead to itself inside of it, and host names of others, which must not lead to those.

    A name that instances share is left to the network: it may lead to any of them.
    """
    own = {
        node.name: [name for name in _names(node) if node.recipe is None or name not in node.recipe.shared_names]
        for node in system.everyone
    }
    taken = {name: node.name for node in system.members for name in own[node.name]}
    claimed = {str(node.recipe.config.get("Hostname", "")) for node in system.everyone if node.recipe} & taken.keys()
    return {
        node.name: {
            **{name: runtime.ambassadors.host(taken[name]) for name in claimed},
            **{name: runtime.host(node.name) for name in own[node.name]},
        }
        for node in system.everyone
    }


def _numbers(system: System) -> dict[tuple[str, str], int]:
    """(node, port) -> its number: the one given, else one for each port name, the same on all nodes."""
    chosen = {port.name: _FIRST_PORT + at for at, port in enumerate(system.all_ports)}
    places = [(name, port) for name in system.node_names for port in system.ports_of(name)]
    return {(name, port.name): port.number or chosen[port.name] for name, port in places}
