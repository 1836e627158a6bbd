"""Nodes as plain processes of this machine: the default runtime. Needs no root and no container engine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_coordchaos.errors import CapabilityError, FaultError, StartError, UsageError
from pytest_coordchaos.faults.machines import MachineProbe, MachineState
from pytest_coordchaos.runtimes.base import Address, Capability, NodeSpec, NodeState, check_files
from pytest_coordchaos.runtimes.guard import ExitEvent, Guard, WatchdogError
from pytest_coordchaos.runtimes.hosts import HOSTS, hosts_text
from pytest_coordchaos.runtimes.labels import labels
from pytest_coordchaos.runtimes.machine_orders import MachineOrders

__all__ = ["ProcessRuntime"]

_END_S = 15.0


@dataclass(slots=True, kw_only=True)
class _Member:
    """What the runtime was told of one node or helper."""

    log: Path
    argv: Sequence[str]
    directory: Path = Path()
    starts: int = 0
    state: NodeState = NodeState.DEAD
    status: int | None = None
    dead_cpu_s: float = 0.0


class ProcessRuntime:
    """The nodes of one cluster as process trees under the session's watchdog. Made by `create`."""

    name = "process"

    def __init__(self, guard: Guard, run_id: str, root: Path, capabilities: frozenset[Capability]) -> None:
        self.capabilities = capabilities
        self._guard = guard
        self._labels = labels(run_id)
        self._root = root
        self._members: dict[str, _Member] = {}
        self._scope = guard.open_scope(self._on_exit)
        self._orders = MachineOrders(self._put, self._get, self._announce, self.state)
        self._refused: str | None = None
        self._stopped = False

    @classmethod
    async def create(cls, guard: Guard, run_id: str, root: Path) -> ProcessRuntime:
        """A runtime whose files (logs, hosts files) lie under `root`.

        Raises:
            WatchdogError: The watchdog is gone.
        """
        refused = await guard.hosts_refusal()
        able = {Capability.PROGRAMS, Capability.SIGNALS, Capability.CPU_SECONDS, Capability.ADD_NODE, Capability.HELD_PORTS}
        able |= {Capability.CLOCKS, Capability.DISK_FAULTS, Capability.MESSAGE_EVENTS}
        able |= set() if refused else {Capability.SHARED_ADDRESSES}
        runtime = cls(guard, run_id, root, frozenset(able))
        runtime._refused = refused
        return runtime

    async def reserve(self, count: int, *, host: str = "127.0.0.1") -> list[Address]:
        """Take ports outside the kernel's ephemeral range and hold them for the cluster's life (see `runtimes.holds`).

        Raises:
            StartError: There are not that many.
        """
        try:
            answer = await self._guard.call("reserve", scope=self._scope, count=count, host=host)
        except WatchdogError as error:
            raise StartError(f"No ports for the cluster: {error}") from None
        return [(name, number) for name, number in answer]

    async def claim_hosts(self, count: int) -> list[str]:
        """Loopback addresses (127.x.y.z, never 127.0.…) no other session of this machine uses."""
        claimed: list[str] = await self._guard.call("claim", scope=self._scope, count=count)
        return claimed

    async def launch(self, spec: NodeSpec) -> None:
        """Start a node (again): same directory, same log with a line that marks the new start.

        Raises:
            UsageError: It is alive.
            CapabilityError: It wants a private hosts file and the kernel refuses.
            StartError: Its program cannot be run.
        """
        member = self._members.get(spec.name) or _Member(log=self._root / "logs" / f"{spec.name}.log", argv=spec.argv)
        if member.state is not NodeState.DEAD:
            raise UsageError(f"launch({spec.name!r}): the node is alive; kill it first")
        if spec.hosts and self._refused:
            raise CapabilityError(f"Node {spec.name} needs its own names for its peers (addresses='shared'): {self._refused}")
        hosts = await asyncio.to_thread(self._prepare, spec, member)
        self._members[spec.name], member.directory = member, spec.directory
        listens = None if spec.listens is None else [list(address) for address in spec.listens]
        await self._spawn(spec.name, member, spec.argv, spec.env, spec.directory, hosts=hosts, lend=listens)

    async def kill(self, node: str) -> None:
        """SIGKILL the node's process tree; returns when nothing of it is left. A dead node stays dead."""
        await self._guard.call("kill", scope=self._scope, name=node, deadline_s=_END_S)

    async def lose_power(self, node: str) -> None:
        """SIGKILL; a node of ours finds at its next start what it had synced, and a part of the rest."""
        await self.kill(node)
        await self._orders.lost_power(node)

    async def set_machine(self, node: str, state: MachineState) -> MachineProbe:
        """Make clock and disk of a node of ours as faults want them, and ask it what it sees."""
        return await self._orders.set(node, state)

    async def pause(self, node: str) -> None:
        """SIGSTOP the node's process tree; returns when every thread is proven stopped.

        Raises:
            FaultError: The node is dead, or does not stop.
        """
        await self._fault("pause", node)
        self._become(node, NodeState.PAUSED)

    async def resume(self, node: str) -> None:
        """SIGCONT the node's process tree.

        Raises:
            FaultError: The node is dead.
        """
        await self._fault("signal", node, number=int(signal.SIGCONT))
        self._become(node, NodeState.RUNNING)

    def state(self, node: str) -> NodeState:
        """What the node's processes are doing now; a node never launched is dead."""
        member = self._members.get(node)
        return member.state if member and not self._guard.gone else NodeState.DEAD

    def exit_status(self, node: str) -> int | None:
        """Exit status of the node's last process (negative: the signal); None while it lives or before its first start."""
        member = self._members.get(node)
        if member is None or not member.starts:
            return None
        return -signal.SIGKILL if member.status is None and self._guard.gone else member.status

    def command(self, node: str) -> str:
        """The node's command as a shell would take it."""
        member = self._members.get(node)
        return shlex.join(member.argv) if member else ""

    async def health(self, node: str) -> str:
        """Processes have no health check of their own: ""."""
        return ""

    def log(self, node: str) -> str:
        """The node's standard output and error so far, all incarnations."""
        member = self._members.get(node)
        if member is None or not member.log.exists():
            return ""
        return member.log.read_text(encoding="utf-8", errors="replace")

    async def cpu_seconds(self, node: str) -> float:
        """User plus system CPU seconds of all processes of the node, dead incarnations included."""
        member = self._members.get(node)
        if member is None:
            return 0.0
        if member.state is NodeState.DEAD:
            return member.dead_cpu_s
        before = member.dead_cpu_s
        live: float = await self._guard.call("cpu", scope=self._scope, name=node)
        return max(before + live, member.dead_cpu_s)  # it may have died meanwhile, and then it has been added up

    def dialler(self, node: str) -> None:
        """None: nodes are dialled from here."""

    def network_pid(self, node: str) -> int:
        """0: nodes have no network of their own."""
        return 0

    async def spawn_helper(
        self, name: str, argv: Sequence[str], *, log: Path, pass_env: Mapping[str, str], lends: Sequence[Address] = ()
    ) -> int:
        """Start a process of ours (the relay) under the same guard, on reserved addresses that it is lent; returns its pid.

        Its state and exit status are those of `helper:<name>`.

        Raises:
            StartError: It cannot be run.
        """
        member = _Member(log=log, argv=argv)
        self._members[f"helper:{name}"] = member
        lend: list[list[object]] = [list(address) for address in lends]
        return await self._spawn(f"helper:{name}", member, argv, pass_env, self._root, hosts="", lend=lend)

    async def stop(self) -> None:
        """End everything of this cluster and give back ports and addresses; returns when nothing is left. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        try:
            await self._guard.call("end", scope=self._scope, deadline_s=_END_S)
        except WatchdogError:
            if not self._guard.gone:
                raise
        finally:
            self._guard.close_scope(self._scope)

    # -- inside ----------------------------------------------------------------------------------------

    async def _spawn(
        self,
        name: str,
        member: _Member,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        hosts: str,
        lend: list[list[object]] | None,
    ) -> int:
        where = {"cwd": str(cwd.absolute()), "log": str(member.log.absolute()), "hosts": hosts, "lend": lend}  # noqa: ASYNC240  # absolute() only joins
        order = {"scope": self._scope, "name": name, "argv": list(argv), "env": {**os.environ, **env, **self._labels}, **where}
        member.argv, member.status = argv, None
        member.state = NodeState.RUNNING
        member.starts += 1
        try:
            pid: int = await self._guard.call("spawn", **order, deadline_s=_END_S)
        except WatchdogError as error:
            member.state = NodeState.DEAD
            raise StartError(f"Node {name} did not start: {error} (command: {self.command(name)})") from None
        return pid

    def _prepare(self, spec: NodeSpec, member: _Member) -> str:
        """Write what must be there before the start; returns the path of the private hosts file or ''."""
        member.log.parent.mkdir(parents=True, exist_ok=True)
        if member.starts == 0:
            _write_files(spec)
        else:
            with member.log.open("a", encoding="utf-8") as log:
                log.write(f"--- coordchaos: {spec.name} is started again (start {member.starts + 1}) ---\n")
        if not spec.hosts:
            return ""
        hosts = self._root / "hosts" / spec.name
        hosts.parent.mkdir(exist_ok=True)
        base = Path(HOSTS).read_text(encoding="utf-8", errors="replace")
        hosts.write_text(hosts_text(dict(spec.hosts), base), encoding="utf-8")
        return str(hosts.absolute())

    async def _put(self, node: str, name: str, text: str) -> None:
        await asyncio.to_thread(_replace, self._members[node].directory / name, text)

    async def _get(self, node: str, name: str) -> str | None:
        path = self._members[node].directory / name
        return await asyncio.to_thread(lambda: path.read_text(encoding="utf-8") if path.exists() else None)

    async def _announce(self, node: str) -> None:
        await self._fault("signal", node, number=int(signal.SIGURG))

    async def _fault(self, do: str, node: str, **arguments: int) -> None:
        try:
            await self._guard.call(do, scope=self._scope, name=node, **arguments)
        except WatchdogError as error:
            word = "resume" if do == "signal" else do
            raise FaultError(f"{word}({node!r}): {error}") from None

    def _become(self, node: str, state: NodeState) -> None:
        """Unless it died meanwhile: the exit event may have come first."""
        member = self._members[node]
        if member.state is not NodeState.DEAD:
            member.state = state

    def _on_exit(self, event: ExitEvent) -> None:
        member = self._members[event["name"]]
        member.state = NodeState.DEAD
        member.status = event["status"]
        member.dead_cpu_s += event["cpu_s"]


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _write_files(spec: NodeSpec) -> None:
    check_files(spec)
    spec.directory.mkdir(parents=True, exist_ok=True)
    for name, text in spec.files.items():
        path = spec.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
