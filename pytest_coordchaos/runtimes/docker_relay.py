"""The relay as a container: for engines whose containers' sockets cannot come to this machine.

It shares a volume with the ambassadors, where their doors are and where its own program is put. Its control API and what
clients dial are ports of a network of its own, published on the loopback of the engine's machine. It sees the processes of
that machine (as nobody, who may do nothing to them): by their numbers it finds the nodes' tables of sockets.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pytest_coordchaos.errors import CapabilityError, StartError
from pytest_coordchaos.runtimes.base import Address
from pytest_coordchaos.runtimes.docker_ambassadors import DOORS
from pytest_coordchaos.runtimes.docker_containers import Container, archive
from pytest_coordchaos.runtimes.docker_engine import EngineError
from pytest_coordchaos.runtimes.docker_member import Member
from pytest_coordchaos.runtimes.docker_network import Network
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.docker_sweep import remove, remove_network
from pytest_coordchaos.runtimes.far_dial import dial_far

__all__ = ["RelayContainer", "Seat"]

_PACKAGE = Path(__file__).parents[1]
_CODE = "code"
_TOKEN_VARIABLE = "COORDCHAOS_RELAY_TOKEN"
_LOOPBACK = "127.0.0.1"
_FIRST_PORT = 10_000
_NOBODY = "65534"
_START_S = 20.0
_ELSEWHERE = (
    "The container engine at {address} is on another host: what its relay publishes on that host's loopback cannot be reached "
    "from here. Run pytest on that host; or use runtime 'process'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a relay in a container is reached.

    Args:
        address: Its control API, from here.
        token: What that asks for.
        published: Where links listen in the container -> where that is reached from here.
    """

    address: Address
    token: str
    published: Mapping[Address, Address]


class RelayContainer:
    """One cluster's. Made by `create`, started by `start`.

    Args:
        docker: The session's engine.
        prefix: Of all names.
        log: Where its output goes.
        network: Its own.

    Attributes:
        volume: What it shares with the ambassadors.
    """

    def __init__(self, docker: Docker, prefix: str, log: Path, network: Network) -> None:
        self.volume = _volume_name(prefix)
        self._docker = docker
        self._prefix = prefix
        self._network = network
        self._host = network.address("relay")
        self._member = Member(docker.engine, "relay", log)
        self._publish: dict[tuple[int, str], Address] = {(_FIRST_PORT, "tcp"): (_LOOPBACK, 0)}
        self._seat: Seat | None = None

    @classmethod
    async def create(cls, docker: Docker, prefix: str, log: Path) -> RelayContainer:
        """With its network and volume, not yet started.

        Raises:
            CapabilityError: What it publishes could not be reached from here.
            StartError, EngineError: The network or the volume could not be made.
        """
        check_near(docker.engine.address)
        name = f"{prefix}-relay"
        network = await Network.create(docker.engine, name, docker.labels, name, internal=False)
        relay = cls(docker, prefix, log, network)
        try:
            await docker.engine.run(lambda client: client.create_volume(relay.volume, labels=docker.labels))
        except BaseException:
            await relay.remove()
            raise
        return relay

    def listen(self, place: Address, transport: str) -> Address:
        """A port of the container for a link, to be published at a place of the engine's machine (port 0: any)."""
        number = _FIRST_PORT + len(self._publish)
        self._publish[number, transport] = place
        return self._host, number

    async def start(self, seed: int) -> Seat:
        """Start it; its control API listens when this returns.

        Raises:
            StartError: It did not start.
        """
        token = secrets.token_hex(16)
        try:
            program = archive(_CODE, await asyncio.to_thread(_program))
            await self._member.make(self._container(seed, token), program, DOORS)
            await self._member.start()
            await self._until_announced()
            bound = await self._docker.engine.run(
                lambda client: client.inspect_container(self._member.id)["NetworkSettings"]["Ports"]
            )
        except EngineError as error:
            raise StartError(f"The relay's container could not be started: {error}") from None
        places = {number: _place(f"{number}/{transport}", bound) for number, transport in self._publish}
        published = {(self._host, number): place for number, place in places.items()}
        self._seat = Seat(address=places[_FIRST_PORT], token=token, published=published)
        return self._seat

    async def dial(self, door: str, target: Address) -> socket.socket:
        """Connect to a node from a door. OSError: the relay or the node is not there, or refuses."""
        if self._seat is None:
            raise ConnectionRefusedError("the relay has not been started")
        return await dial_far(self._seat.address, self._seat.token, door, target)

    async def stop(self) -> None:
        """Remove the container. The network and the volume are for `remove`: others may still have the volume."""
        await self._member.settle()
        if self._member.id:
            await self._docker.engine.run(partial(remove, containers=[self._member.id], networks=()))

    async def remove(self) -> None:
        """Remove the network and the volume."""
        await self._docker.engine.run(partial(remove_network, id=self._network.id))
        await self._docker.engine.run(partial(remove, containers=(), networks=(), volumes=[self.volume]))

    # -- inside ----------------------------------------------------------------------------------------

    def _container(self, seed: int, token: str) -> Container:
        control = ["--control-host", self._host, "--control-port", str(_FIRST_PORT)]
        return Container(
            name=f"{self._prefix}-relay",
            image=self._docker.images.base,
            command=["python3", "-B", "-S", "-m", "pytest_coordchaos.relay", *control, "--seed", str(seed)],
            network=self._network.name,
            address=self._host,
            labels=self._docker.labels,
            env={"PYTHONPATH": f"{DOORS}/{_CODE}", _TOKEN_VARIABLE: token},
            volumes={self.volume: DOORS},
            publish=self._publish,
            user=_NOBODY,
            sees_processes=True,
            program=True,
        )

    async def _until_announced(self) -> None:
        log, deadline = self._member.log, asyncio.get_running_loop().time() + _START_S
        while f"{self._host} {_FIRST_PORT}\n" not in (log.read_text(errors="replace") if log.exists() else ""):
            if not self._member.alive or asyncio.get_running_loop().time() > deadline:
                how = "did not start" if self._member.alive else f"ended with status {self._member.status}"
                tail = tuple(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ()
                need = "the base image must have Python 3.11 or later for it"
                raise StartError(f"The relay's container {how}; {need}", tail)
            await asyncio.sleep(0.01)


def check_near(address: str) -> None:
    """See whether an engine's machine has our loopback. CapabilityError: it has not."""
    parts = urlsplit(address)
    if "unix" not in parts.scheme and parts.hostname not in ("localhost", _LOOPBACK, "::1"):
        raise CapabilityError(_ELSEWHERE.format(address=address))


def _place(port: str, bound: Mapping[str, list[dict[str, str]] | None]) -> Address:
    """Where the engine published a port, as it is dialled from here."""
    found = bound.get(port)
    if not found:
        raise StartError(f"The engine published nothing for port {port} of the relay's container")
    return _LOOPBACK if found[0]["HostIp"] == "0.0.0.0" else found[0]["HostIp"], int(found[0]["HostPort"])


def _volume_name(prefix: str) -> str:
    return f"{prefix}-doors"


def _program() -> dict[str, str]:
    """The texts of this package, which the relay is a part of."""
    files = {f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path for path in _PACKAGE.rglob("*.py")}
    return {name: path.read_text(encoding="utf-8") for name, path in files.items()}
