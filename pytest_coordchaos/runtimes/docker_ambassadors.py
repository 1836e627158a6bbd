"""The ambassador containers of a cluster, and their doors. What they do: `ambassador.py`.

Their doors are in a directory of this machine, or in a volume for a relay that is a container itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_coordchaos.errors import CapabilityError, StartError
from pytest_coordchaos.runtimes import ambassador
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.docker_containers import Container
from pytest_coordchaos.runtimes.docker_engine import EngineError
from pytest_coordchaos.runtimes.docker_member import Member
from pytest_coordchaos.runtimes.docker_network import Network
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.doors import Door, connect_door

__all__ = ["DOORS", "Ambassadors", "OtherKernel"]

DOORS = "/door"
"""The directory of doors inside of containers."""

_READY_S = 20.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OTHER_KERNEL = (
    "The container engine at {address} does not run on this machine's kernel (a virtual machine, as with Docker Desktop, or "
    "another host): a relay on this machine cannot reach its containers; --coordchaos-relay=container runs it as one of them"
)


class OtherKernel(CapabilityError):
    """The engine does not run on this machine's kernel."""


class Ambassadors:
    """All ambassadors of one cluster.

    Args:
        docker: The session's engine.
        prefix: Of the containers' names.
        root: The cluster's directory; the doors are below it.
        volume: The volume for the doors; "": they are on this machine.
    """

    def __init__(self, docker: Docker, prefix: str, root: Path, volume: str = "") -> None:
        self._docker = docker
        self._prefix = prefix
        self._root = root
        self._volume = volume
        self._members: dict[str, Member] = {}
        self._hosts: dict[str, str] = {}
        self._doors: dict[str, Door] = {}

    @property
    def ids(self) -> list[str]:
        """The engine's ids of their containers."""
        return [member.id for member in self._members.values() if member.id]

    def host(self, name: str) -> str:
        """The address of an ambassador on the network."""
        return self._hosts[name]

    def path(self, name: str) -> str:
        """The UNIX socket of an ambassador, as the relay sees it."""
        directory = Path(DOORS, name) if self._volume else self._directory(name)
        return str(directory / ambassador.SOCKET_NAME)

    async def start(self, network: Network, aliases: Mapping[str, Sequence[str]]) -> None:
        """Start them side by side; all doors are open when this returns.

        Args:
            aliases: Name of each -> DNS names it takes over.

        Raises:
            OtherKernel: The engine does not run on this machine's kernel, and the doors are to be here.
            StartError: One could not be started.
        """
        self._hosts = {name: network.address(f"ambassador {name}") for name in aliases}
        self._doors = {} if self._volume else {name: Door(self.path(name)) for name in aliases}
        await asyncio.gather(*(self._start(network, name, names) for name, names in aliases.items()))

    def door_of(self, node: str) -> str:
        """The UNIX socket of the node's own ambassador where it has one, else of the common one."""
        return self.path(node if node in self._hosts else next(iter(self._hosts)))

    async def fresh(self, node: str) -> socket.socket:
        """A socket of the network, from the node's own ambassador where it has one."""
        return await (self._doors.get(node) or next(iter(self._doors.values()))).fresh()

    async def settle(self) -> None:
        """Wait for those that are being made."""
        for member in self._members.values():
            await member.settle()

    def close(self) -> None:
        """Close this process's doors; the containers are the runtime's to remove. Idempotent."""
        for door in self._doors.values():
            door.close()

    def _directory(self, name: str) -> Path:
        return (self._root / "doors" / name).absolute()

    async def _start(self, network: Network, name: str, aliases: Sequence[str]) -> None:
        member = Member(self._docker.engine, f"ambassador {name}", self._root / "logs" / f"ambassador-{name}.log")
        self._members[name] = member
        if not self._volume:
            await asyncio.to_thread(self._make_directory, name)
        try:
            await member.make(self._container(network, name, aliases))
            await member.start()
        except EngineError as error:
            raise self._refused(str(error)) from None
        await self._until_open(name, member)

    def _make_directory(self, name: str) -> None:
        directory = self._directory(name)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)  # the engine may map the container's root to another user; a private directory lies above

    def _container(self, network: Network, name: str, aliases: Sequence[str]) -> Container:
        text = Path(ambassador.__file__).read_text(encoding="utf-8")
        return Container(
            name=f"{self._prefix}-ambassador-{name}",
            image=self._docker.images.base,
            command=["python3", "-I", "-S", "-c", text, f"{DOORS}/{name}" if self._volume else DOORS],
            network=network.name,
            address=self.host(name),
            aliases=aliases,
            labels=self._docker.labels,
            mounts={} if self._volume else {str(self._directory(name)): DOORS},
            volumes={self._volume: DOORS} if self._volume else {},
            program=True,
        )

    async def _until_open(self, name: str, member: Member) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_S
        while not self._is_open(name, member):
            if member.state is NodeState.DEAD or asyncio.get_running_loop().time() > deadline:
                how = f"ended with status {member.status}" if member.state is NodeState.DEAD else "did not open its door"
                raise StartError(f"The ambassador {name} {how}", tuple(_said(member).splitlines()[-8:]))
            await asyncio.sleep(0.01)

    def _is_open(self, name: str, member: Member) -> bool:
        """OtherKernel: it never will be, seen from here."""
        if self._volume:
            return _said(member).endswith("open\n")
        try:
            connect_door(Path(self.path(name))).close()
        except OSError:
            words = _said(member).split()
            if len(words) > 1 and words[0] == "boot" and words[1] != _BOOT_ID.read_text().strip():
                raise self._other_kernel() from None
            return False
        return True

    def _other_kernel(self) -> OtherKernel:
        return OtherKernel(_OTHER_KERNEL.format(address=self._docker.engine.address))

    def _refused(self, error: str) -> Exception:
        base = self._docker.images.base
        if "python3" in error and ("not found" in error or "no such file" in error):
            return StartError(f"The base image {base!r} has no python3; --coordchaos-base-image names another one")
        if "bind source path does not exist" in error:
            return self._other_kernel()
        return StartError(f"An ambassador could not be started from the base image {base!r}: {error}")


def _said(member: Member) -> str:
    return member.log.read_text(errors="replace") if member.log.exists() else ""
