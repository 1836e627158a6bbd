"""Nodes as containers on a private network of their own. See `doors.py` for how the relay reaches them."""

from __future__ import annotations

import asyncio
import shlex
import socket
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_coordchaos.errors import FaultError, StartError, UsageError
from pytest_coordchaos.faults.machines import MachineProbe, MachineState
from pytest_coordchaos.runtimes.base import Address, Capability, NodeSpec, NodeState, check_files
from pytest_coordchaos.runtimes.docker_ambassadors import Ambassadors, OtherKernel
from pytest_coordchaos.runtimes.docker_containers import archive, container_of
from pytest_coordchaos.runtimes.docker_engine import EngineError
from pytest_coordchaos.runtimes.docker_member import Member, machine_orders, why_not_started
from pytest_coordchaos.runtimes.docker_network import Network
from pytest_coordchaos.runtimes.docker_recipe import payload, written_texts
from pytest_coordchaos.runtimes.docker_relay import RelayContainer
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.docker_sweep import NODE, remove, remove_network
from pytest_coordchaos.runtimes.docker_volumes import Volumes
from pytest_coordchaos.runtimes.doors import dial_through
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime

__all__ = ["DockerRuntime"]

_ABLE = (
    Capability.PROGRAMS,
    Capability.SIGNALS,
    Capability.CPU_SECONDS,
    Capability.SHARED_ADDRESSES,
    Capability.ADD_NODE,
    Capability.LIMITS,
    Capability.CLOCKS,
    Capability.DISK_FAULTS,
    Capability.MESSAGE_EVENTS,
)


class DockerRuntime:
    """The nodes of one cluster as containers. Made by `create`.

    Attributes:
        ambassadors: Who hands out sockets of the network.
        relay: The relay, where it is a container itself; None: it is a process of this machine.
    """

    name = "docker"
    capabilities = frozenset(_ABLE)

    def __init__(self, docker: Docker, helpers: ProcessRuntime, root: Path, run_id: str) -> None:
        self.ambassadors: Ambassadors
        self.relay: RelayContainer | None = None
        self._docker = docker
        self._helpers = helpers
        self._root = root
        self._prefix = f"coordchaos-{run_id}-{root.name}"
        self._network: Network
        self._members: dict[str, Member] = {}
        self._orders = machine_orders(self._members)
        self._volumes = Volumes(docker.engine, self._prefix, docker.labels)
        self._stopped = False

    @classmethod
    async def create(
        cls, docker: Docker, guard: Guard, run_id: str, root: Path, ambassadors: Mapping[str, Sequence[str]]
    ) -> DockerRuntime:
        """A runtime with its network and ambassadors; what must be on this machine (the relay, logs) lies under `root`.

        Args:
            ambassadors: Name of each -> DNS names it takes over.

        Raises:
            CapabilityError: The engine's containers cannot be reached from here.
            StartError: The network or an ambassador could not be made.
        """
        asked = docker.relay
        try:
            return await cls._create(docker, guard, run_id, root, ambassadors)
        except OtherKernel:
            if asked != "auto":
                raise
            docker.relay = "container"  # for all clusters to come, too
            return await cls._create(docker, guard, run_id, root, ambassadors)

    @classmethod
    async def _create(
        cls, docker: Docker, guard: Guard, run_id: str, root: Path, ambassadors: Mapping[str, Sequence[str]]
    ) -> DockerRuntime:
        helpers = await ProcessRuntime.create(guard, run_id, root)
        runtime = cls(docker, helpers, root, run_id)
        runtime.ambassadors = Ambassadors(docker, runtime._prefix, root)
        try:
            await runtime._make_networks()
            await runtime.ambassadors.start(runtime._network, ambassadors)
        except EngineError as error:
            await runtime.stop()
            raise StartError(f"The cluster's network could not be made: {error}") from None
        except BaseException:
            await runtime.stop()
            raise
        return runtime

    def host(self, node: str) -> str:
        """The address a node has on the network for the cluster's life."""
        return self._network.address(node)

    async def entry_image(self, modules: Sequence[str]) -> str:
        """The image of nodes that are started from these modules (see `docker_images`)."""
        return await self._docker.images.of_entry(modules)

    async def reserve(self, count: int, *, host: str = "127.0.0.1") -> list[Address]:
        """Ports of this machine, for helpers: a node has an address of its own (see `host`), and all ports of it."""
        return await self._helpers.reserve(count, host=host)

    async def claim_hosts(self, count: int) -> list[str]:
        """Loopback addresses of this machine, for helpers: a node has an address of its own."""
        return await self._helpers.claim_hosts(count)

    async def launch(self, spec: NodeSpec) -> None:
        """Start a node (again): the same container, address and log, which gets a line that marks the new start.

        Raises:
            UsageError: It is alive, or a file lies outside of its directory.
            StartError: Its image is not there, or its program cannot be run.
        """
        if self._stopped:
            raise StartError(f"Node {spec.name} did not start: the cluster has been stopped")
        member = self._members.get(spec.name)
        if member is None:
            member = self._members[spec.name] = Member(self._docker.engine, spec.name, self._root / "logs" / f"{spec.name}.log")
        if member.state is not NodeState.DEAD:
            raise UsageError(f"launch({spec.name!r}): the node is alive; kill it first")
        check_files(spec)
        member.argv, member.directory = spec.argv, str(spec.directory)
        try:
            if not member.id:
                await self._make(member, spec)
            await member.start()
        except EngineError as error:
            why = why_not_started(str(error), spec.argv)
            raise StartError(f"Node {spec.name} did not start: {why} (command: {self.command(spec.name)})") from None

    async def kill(self, node: str) -> None:
        """SIGKILL every process of the container; returns when it is gone. A dead node stays dead."""
        if node.startswith("helper:"):
            await self._helpers.kill(node)
        member = self._members.get(node)
        if member is not None:
            await member.kill()

    async def lose_power(self, node: str) -> None:
        """SIGKILL; a node of ours finds at its next start what it had synced, and a part of the rest."""
        await self.kill(node)
        await self._orders.lost_power(node)

    async def set_machine(self, node: str, state: MachineState) -> MachineProbe:
        """Make clock and disk of a node of ours as faults want them, and ask it what it sees."""
        return await self._orders.set(node, state)

    async def pause(self, node: str) -> None:
        """Freeze the container's control group; returns when it is proven frozen.

        Raises:
            FaultError: The node is dead, or does not stop.
        """
        await self._alive(node, "pause").pause()

    async def resume(self, node: str) -> None:
        """Thaw the container. FaultError: the node is dead."""
        await self._alive(node, "resume").resume()

    def state(self, node: str) -> NodeState:
        """What the node is doing now; a node never launched is dead."""
        member = self._members.get(node)
        return member.state if member else NodeState.DEAD

    def exit_status(self, node: str) -> int | None:
        """Exit status of the node's last process (negative: the signal); None while it lives or before its first start."""
        if node.startswith("helper:"):
            return self._helpers.exit_status(node)
        member = self._members.get(node)
        return member.status if member and member.starts else None

    def command(self, node: str) -> str:
        """The node's command as a shell would take it; what its image runs is not known here."""
        member = self._members.get(node)
        return "" if member is None else shlex.join(member.argv) or "what its image runs"

    async def health(self, node: str) -> str:
        """What the container's health check says: healthy, unhealthy, starting; "" when it has none."""
        member = self._members.get(node)
        return await member.health() if member else ""

    def log(self, node: str) -> str:
        """The node's standard output and error so far, all incarnations."""
        member = self._members.get(node)
        return member.read_log() if member else ""

    async def cpu_seconds(self, node: str) -> float:
        """CPU seconds of the container, dead incarnations included (each as of the last look before its end)."""
        member = self._members.get(node)
        return await member.cpu_seconds() if member else 0.0

    def dialler(self, node: str) -> Callable[[Address], Awaitable[socket.socket]]:
        """Connects to an address of the node from its network."""

        async def dial(target: Address) -> socket.socket:
            if self.state(node) is NodeState.DEAD:  # its address would not even refuse
                raise ConnectionRefusedError(f"{node} is dead")
            if self.relay is not None:
                return await self.relay.dial(self.ambassadors.door_of(node), target)
            return await dial_through(await self.ambassadors.fresh(node), "", target)

        return dial

    def network_pid(self, node: str) -> int:
        """A process of the node's network namespace, as this machine numbers it; 0: not known."""
        member = self._members.get(node)
        return member.pid if member else 0

    async def spawn_helper(
        self, name: str, argv: Sequence[str], *, log: Path, pass_env: Mapping[str, str], lends: Sequence[Address] = ()
    ) -> int:
        """Start a process of ours on this machine, under the session's guard; returns its pid."""
        return await self._helpers.spawn_helper(name, argv, log=log, pass_env=pass_env, lends=lends)

    async def stop(self) -> None:
        """Remove every container and the network, and end what helped; returns when nothing is left. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self.ambassadors.close()
        try:
            await self.ambassadors.settle()
            for member in self._members.values():
                await member.settle()
            ids = [*self.ambassadors.ids, *(member.id for member in self._members.values() if member.id)]
            await asyncio.gather(*(self._docker.engine.run(partial(remove, containers=[id], networks=())) for id in ids))
            if self.relay is not None:
                await self.relay.stop()
                await self.relay.remove()
            await self._volumes.remove()
            if hasattr(self, "_network") and not await self._docker.engine.run(partial(remove_network, id=self._network.id)):
                warnings.warn(f"The engine cannot remove network {self._network.name}: restart it to be rid of it", stacklevel=2)
        finally:
            for member in self._members.values():
                member.died_with_cluster()
            await self._helpers.stop()

    # -- inside ----------------------------------------------------------------------------------------

    async def _make_networks(self) -> None:
        docker = self._docker
        network = asyncio.ensure_future(Network.create(docker.engine, self._prefix, docker.labels, self._prefix))
        try:
            await docker.images.present(docker.images.base)
        finally:
            self._network = await network  # also when there is no image: it is there to be removed
        if docker.relay == "container":
            self.relay = await RelayContainer.create(docker, self._prefix, self._root / "relay.log")
            self.ambassadors = Ambassadors(docker, self._prefix, self._root, self.relay.volume)

    def _alive(self, node: str, word: str) -> Member:
        member = self._members.get(node)
        if member is None or member.state is NodeState.DEAD:
            raise FaultError(f"{word}({node!r}): {node} is dead")
        return member

    async def _make(self, member: Member, spec: NodeSpec) -> None:
        container = container_of(
            spec,
            name=f"{self._prefix}-{spec.name}",
            network=self._network.name,
            address=self.host(spec.name),
            labels={**self._docker.labels, NODE: spec.name},
        )
        if spec.recipe is None:
            await self._docker.images.present(spec.image)
            await member.make(container, archive(str(spec.directory), spec.files))
            return
        await self._docker.images.of_recipe(spec.recipe, self._root / "builds")
        volumes = await self._volumes.ready(spec.recipe)
        texts = await asyncio.to_thread(written_texts, spec.recipe, self._root / "texts" / spec.name)
        body = payload(
            spec.recipe,
            network=container.network,
            address=container.address,
            labels=container.labels,
            hosts=spec.hosts.items(),
            volumes=volumes,
            texts=texts,
        )
        await member.make(replace(container, body=body))
