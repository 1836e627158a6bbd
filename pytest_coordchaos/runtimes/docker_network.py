"""One private network per cluster, with addresses that its containers keep for life.

A container may only choose its address on a network whose subnet was chosen too. Ours are /24 pieces of 198.18.0.0/15, which
is reserved for tests of network devices and routed nowhere; they do not use up the engine's own pools either (30 networks).
The engine itself refuses a piece that another of its networks has; one that this machine has a route to is left alone.
Nothing leads out of the network.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.runtimes.docker_engine import Engine, EngineError

if TYPE_CHECKING:
    import docker

__all__ = ["Network", "free_subnets", "routed"]

_POOL = ipaddress.ip_network("198.18.0.0/15")
_ROUTES = Path("/proc/net/route")
_TRIES = 64
_TAKEN = ("overlap", "already used", "already in use", "being used", "exists")


class Network:
    """A network and the addresses given out on it. Made by `create`.

    Attributes:
        name, id: Its name, and the engine's id of it.
        gateway: The engine's own address on it.
    """

    def __init__(self, name: str, id: str, subnet: ipaddress.IPv4Network) -> None:
        self.name = name
        self.id = id
        self._hosts = subnet.hosts()
        self.gateway = str(next(self._hosts))
        self._given: dict[str, str] = {}

    @classmethod
    async def create(cls, engine: Engine, name: str, labels: Mapping[str, str], seed: str, *, internal: bool = True) -> Network:
        """Make a network of that name that carries the labels.

        Args:
            internal: Nothing leads out of it, and none of its ports can be published.

        Raises:
            StartError: No piece of our range is free.
            EngineError: The engine refused it for another reason.
        """
        for subnet in free_subnets(seed, routed(_read_routes()))[:_TRIES]:
            try:
                id = await engine.run(partial(_make, name=name, labels=labels, subnet=subnet, internal=internal))
                return cls(name, id, subnet)
            except EngineError as error:
                if not any(word in str(error).lower() for word in _TAKEN):
                    raise
        raise StartError(
            f"No private network for the cluster: {_TRIES} pieces of {_POOL} are in use; remove networks of old runs"
        )

    def address(self, who: str) -> str:
        """The address of a member for the life of the network; a new one when it is asked for first.

        Raises:
            StartError: The network is full.
        """
        if who not in self._given:
            host = next(self._hosts, None)
            if host is None:
                raise StartError(f"The network has no address left for {who}: a cluster can have 253 containers")
            self._given[who] = str(host)
        return self._given[who]


def free_subnets(seed: str, taken: list[ipaddress.IPv4Network]) -> list[ipaddress.IPv4Network]:
    """The pieces of our range that nothing taken overlaps, from a start drawn at random upwards."""
    pieces = [ipaddress.IPv4Network(piece) for piece in _POOL.subnets(new_prefix=24)]
    start = random.Random(seed).randrange(len(pieces))
    return [piece for piece in [*pieces[start:], *pieces[:start]] if not any(piece.overlaps(other) for other in taken)]


def routed(table: str) -> list[ipaddress.IPv4Network]:
    """The networks this machine has a route to, but for the default route (the text of /proc/net/route)."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((address, bin(mask).count("1"))))
    return found


def _read_routes() -> str:
    try:
        return _ROUTES.read_text()
    except OSError:
        return ""


def _make(
    client: docker.APIClient, *, name: str, labels: Mapping[str, str], subnet: ipaddress.IPv4Network, internal: bool
) -> str:
    from docker.types import IPAMConfig, IPAMPool

    pool = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))
    made = client.create_network(
        name,
        driver="bridge",
        ipam=IPAMConfig(pool_configs=[pool]),
        internal=internal,
        labels=dict(labels),
        check_duplicate=True,
    )
    return str(made["Id"])
