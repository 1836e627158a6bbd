"""What every runtime can be asked. A runtime declares what it can; the rest it refuses by name."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_coordchaos.errors import UsageError

if TYPE_CHECKING:
    from pytest_coordchaos.faults.machines import MachineProbe, MachineState
    from pytest_coordchaos.system.recipe import Recipe

__all__ = ["Address", "Capability", "NodeSpec", "NodeState", "Runtime", "check_files"]

Address = tuple[str, int]
"""(host, port) of a TCP endpoint."""


class Capability(StrEnum):
    """Things a runtime may or may not be able to do."""

    PROGRAMS = "programs"
    SIGNALS = "signals"
    CPU_SECONDS = "cpu-seconds"
    SHARED_ADDRESSES = "shared-addresses"
    ADD_NODE = "add-node"
    CLOCKS = "clocks"
    DISK_SYNCS = "disk-syncs"
    DISK_FAULTS = "disk-faults"
    MESSAGE_EVENTS = "message-events"
    SYNC_EVENTS = "sync-events"
    LIMITS = "limits"
    HELD_PORTS = "held-ports"


class NodeState(StrEnum):
    """What a node's processes are doing."""

    RUNNING = "running"
    PAUSED = "paused"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """Everything needed to start one node, placeholders filled in.

    Args:
        name: The node.
        argv: Program and arguments.
        env: Environment variables added to the runner's own.
        files: Path relative to `directory` -> text, written before the first start.
        directory: The node's working directory.
        hosts: Host name -> address for a private hosts file; empty: none is made.
        listens: Reserved addresses the node itself listens on: they are let go of just before it starts
            and held again when it is dead. None: not known; then only programs that set SO_REUSEADDR
            (or SO_REUSEPORT) can listen on reserved ports.
        image: The container image; only where nodes are containers.
        cpus, memory_mb: Processors and MiB of memory it may use at most; only where the runtime declares limits.
        recipe: All else that is said of its container; then only `name`, `hosts` and, for messages, `argv` count beside it.
    """

    name: str
    argv: Sequence[str]
    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    listens: Sequence[Address] | None = None
    image: str = ""
    cpus: float | None = None
    memory_mb: int | None = None
    recipe: Recipe | None = None


class Runtime(Protocol):
    """Where the nodes of one cluster run. All calls are coroutines of the portal's loop."""

    name: str
    capabilities: frozenset[Capability]

    async def reserve(self, count: int, *, host: str = "127.0.0.1") -> list[Address]:
        """Take ports below the kernel's ephemeral range and hold them for the cluster's life."""
        ...

    async def claim_hosts(self, count: int) -> list[str]:
        """Loopback addresses (127.x.y.z) nobody else uses while the cluster lives."""
        ...

    async def launch(self, spec: NodeSpec) -> None:
        """Start a node (again). Returns once its process exists, not when it is ready."""
        ...

    async def kill(self, node: str) -> None:
        """SIGKILL the node's whole process group; returns when it is gone."""
        ...

    async def lose_power(self, node: str) -> None:
        """SIGKILL, and at its next start the node finds what it had synced, and a part of the rest."""
        ...

    async def set_machine(self, node: str, state: MachineState) -> MachineProbe:
        """Make clock and disk of a node's machine as faults want them, and look at them from its inside."""
        ...

    async def pause(self, node: str) -> None:
        """SIGSTOP the whole process group; returns when it is proven stopped."""
        ...

    async def resume(self, node: str) -> None:
        """SIGCONT the whole process group."""
        ...

    def state(self, node: str) -> NodeState:
        """What the node's processes are doing now, as far as the runtime was told."""
        ...

    def exit_status(self, node: str) -> int | None:
        """Exit status of the node's last process (negative: the signal); None while it lives."""
        ...

    def command(self, node: str) -> str:
        """The node's command as a shell would take it, for messages."""
        ...

    async def health(self, node: str) -> str:
        """What the health check of the node's container says: healthy, unhealthy, starting; "" when it has none."""
        ...

    def log(self, node: str) -> str:
        """The node's standard output and error so far, all incarnations."""
        ...

    async def cpu_seconds(self, node: str) -> float:
        """User plus system CPU seconds of the node so far, dead incarnations included."""
        ...

    def dialler(self, node: str) -> Callable[[Address], Awaitable[socket.socket]] | None:
        """Connects to an address of the node from its network; None: it can be dialled from here."""
        ...

    def network_pid(self, node: str) -> int:
        """A process of the node's network namespace; 0: the node has none of its own, or it is not known."""
        ...

    async def spawn_helper(
        self, name: str, argv: Sequence[str], *, log: Path, pass_env: Mapping[str, str], lends: Sequence[Address] = ()
    ) -> int:
        """Start a process of ours (the relay) under the same guard, on reserved addresses that it is lent; returns its pid."""
        ...

    async def stop(self) -> None:
        """End everything of this cluster and give back ports and addresses. Idempotent."""
        ...


def check_files(spec: NodeSpec) -> None:
    """UsageError where a file would be written outside of the node's directory."""
    for name in spec.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UsageError(
                f"Node {spec.name}: file {name!r} is not allowed; a path relative to the node's directory, without '..'"
            )
