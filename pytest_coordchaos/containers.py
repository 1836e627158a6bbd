"""From a System to containers: their network, addresses, doors and images. What is under `docker` is imported here only."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.runtimes.base import Address
from pytest_coordchaos.runtimes.docker import DockerRuntime
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.system.model import CLIENTS, System
from pytest_coordchaos.wiring import Home, Layout, Reach, edges

__all__ = ["container_home", "container_layout", "container_runtime"]

_RELAY = "relay"
_FIRST_PORT = 10_000
_ROOT = Path("/coordchaos")


async def container_runtime(system: System, docker: Docker, guard: Guard, run_id: str, root: Path) -> DockerRuntime:
    """A network for a System, with one ambassador for all, or one for each node whose name it takes over.

    Raises:
        CapabilityError: The engine's containers cannot be reached from here.
        StartError: The network or an ambassador could not be made.
    """
    shared = system.addresses == "shared"
    ambassadors = {name: (name,) for name in system.node_names} if shared else {_RELAY: ()}
    return await DockerRuntime.create(docker, guard, run_id, root, ambassadors)


async def container_home(system: System, runtime: DockerRuntime) -> Home:
    """Where its nodes live inside of their containers; an image for `entry` nodes is built when there is none yet.

    Raises:
        StartError: An image is not there.
    """
    if system.entry is not None:
        image = await runtime.entry_image([system.host, system.entry.partition(":")[0]])
        return Home(root=_ROOT, python="python3", images=dict.fromkeys(system.node_names, image))
    return Home(root=_ROOT, python="python3", images={name: system.image_of(name) or "" for name in system.node_names})


def container_layout(system: System, runtime: DockerRuntime) -> Layout:
    """Every node has an address of its own, hence the ports it likes; links listen in the network of their diallers."""
    shared = system.addresses == "shared"
    door_of = {name: name if shared else _RELAY for name in system.node_names}
    free, numbers = count(_FIRST_PORT), _numbers(system)
    ambassadors = runtime.ambassadors
    ours = tuple(ambassadors.host(name) for name in dict.fromkeys(door_of.values()))
    listen: dict[LinkId, Address] = {}
    for link in edges(system):
        if link.source == CLIENTS:
            listen[link] = ("127.0.0.1", 0)
        else:
            listen[link] = (ambassadors.host(door_of[link.target]), numbers[link.target, link.port] if shared else next(free))
    return Layout(
        bind={(name, port): (runtime.host(name), number) for (name, port), number in numbers.items()},
        listen=listen,
        hosts={name: {name: runtime.host(name)} for name in system.node_names} if shared else {},
        relay_source="",
        reach={name: Reach(door=ambassadors.path(door), host=runtime.host(name), ours=ours) for name, door in door_of.items()},
        sources={link: (runtime.host(link.source),) for link in listen if shared and link.source != CLIENTS},
    )


def _numbers(system: System) -> dict[tuple[str, str], int]:
    """(node, port) -> its number: the one given, else one for each port name, the same on all nodes."""
    chosen = {port.name: _FIRST_PORT + at for at, port in enumerate(system.all_ports)}
    places = [(name, port) for name in system.node_names for port in system.ports_of(name)]
    return {(name, port.name): port.number or chosen[port.name] for name, port in places}
