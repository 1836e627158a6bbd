"""What is under test, as pure data. Starts nothing, opens nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.coroutines import Main, check_alone, checked_mains
from pytest_coordchaos.system.liveness import Live
from pytest_coordchaos.system.port import NAME, Port, check_dialled, port_records
from pytest_coordchaos.system.protocols import PROTOCOLS
from pytest_coordchaos.system.readiness import Ready, check_ready

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_coordchaos.system.readiness import NodeProbe
    from pytest_coordchaos.system.recipe import Recipe

__all__ = ["CLIENTS", "PROTOCOLS", "Node", "Port", "RoleProbe", "System"]

CLIENTS = "clients"
"""The name by which faults and links speak of everything outside the nodes."""

RoleProbe = Callable[["NodeProbe"], Awaitable[int | bool | None]]
"""Asked of each live node: does it claim the role? False or None: no. A number ranks the claim
(a Raft term): the highest wins; equal claims by two nodes mean that nobody knows."""

_SERVICE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SYSTEM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Node:
    """One member of a system, where it differs from the others.

    Args:
        name: Its name; nodes are known by name only.
        command, image, env: Replace (command, image) or extend (env) what the System gives.
        ports: The ports this node has; None: the System's. Ports of one name must agree among nodes in all but `number`.
        ready: When this node counts as started; None: the System's condition.
        recipe: All else that is said of its container (a compose service's); nothing of it is filled in.
    """

    name: str
    _: KW_ONLY
    command: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Port] | None = None
    ready: Ready | None = None
    image: str | None = None
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if not (NAME if self.recipe is None else _SERVICE_NAME).fullmatch(self.name) or self.name == CLIENTS:
            letters = "lower-case letters, digits and inner dashes, at most 32"
            allowed = f"{letters if self.recipe is None else 'letters, digits and inner . _ -, at most 63'}, not {CLIENTS!r}"
            raise UsageError(f"Node name {self.name!r} is not allowed: {allowed}")
        if self.ports is not None:
            object.__setattr__(self, "ports", port_records(self.ports, f"Node({self.name!r})"))
        check_ready(self.ready, f"Node({self.name!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system under test.

    Strings in `command`, `env` and `files` may hold placeholders (see `system.placeholders`):
    `{name} {dir} {bind:PORT} {host:PORT} {port:PORT} {peer:NODE:PORT} {peers:PORT:FORMAT} {members:PORT:FORMAT}`.

    Args:
        nodes: Node names or records; a number n means n1 … n<n>.
        ports: Ports that every node has which names none of its own.
        command: Program and arguments of a node. Either `entry`, or `command`, `image` or both.
        entry: "module:function" of an `async def main(env)` (a node of the standard library only).
        image: The container image of a node; without `command`, what the image runs by itself. Default runtime: docker.
        cpus, memory_mb: Processors and MiB of memory that each node may use at most (docker only); None: no limit.
        host: The module run with `python -m` that gives `entry` its env.
        options: Plain JSON values handed to `entry` nodes as `env.options`.
        env: Environment variables added for every node.
        files: Files written before a node starts: path relative to `{dir}` -> text.
        ready: When a node counts as started.
        ready_timeout_s: Seconds for all nodes to become ready.
        addresses: "per-node" (each node gets its own view of its peers) or "shared" (all members
            use the same `NODE:number` addresses; each node gets a private hosts file).
        roles: Role name -> probe; "leader" serves `cluster.leader()` and fault words.
        client: The client of generated workloads.
        workloads: Workload name -> factory, for `cluster.run("name")`.
        live: Which nodes go on once faults are over although the others never come back; asked at the end of simulated seeds.
        name: For reports.
        jobs: Nodes that run once, for others that wait for their end (`Recipe.after`), and must exit with status 0. They dial
            links, but no fault names them and their messages count for nothing.

    Raises:
        UsageError: What is wrong, where, and what is allowed.
    """

    nodes: Sequence[Node | str] | int
    ports: Sequence[Port] = ()
    command: Sequence[str] | None = None
    entry: str | None = None
    image: str | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    host: str = "reference_systems.kit"
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    ready: Ready | None = None
    ready_timeout_s: float = 20.0
    addresses: str = "per-node"
    roles: Mapping[str, RoleProbe] = field(default_factory=dict)
    client: Any = None
    workloads: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    live: Live = field(default_factory=Live)
    name: str = "system"
    jobs: Sequence[Node] = ()
    coroutines: Mapping[str, Main] = field(default_factory=dict)

    @classmethod
    def from_coroutines(cls, mains: Mapping[str, Main], **given: Any) -> System:
        """A System of plain asyncio services (node -> coroutine function), simulated as they are; `given` as for a System."""
        return cls(nodes=tuple(mains), coroutines=checked_mains(mains), **given)

    @classmethod
    def from_compose(
        cls,
        path: str | Path,
        *,
        ports: Mapping[str, Sequence[Port]] | None = None,
        ready: Mapping[str, Ready] | None = None,
        profiles: Iterable[str] = (),
        publish: bool = True,
        volumes: str = "own",
        environ: Mapping[str, str] | None = None,
        **given: Any,
    ) -> System:
        """The System that an unmodified compose file describes; its nodes run as containers.

        Args:
            path: The file, or a directory that holds one; relative to the working directory.
            ports: Service -> its ports with protocols, each with the number it listens on. A port that is neither here nor
                under `ports` or `expose`, nor exposed by the image, cannot be reached from other services.
            ready: Service -> when it counts as ready; default: its health check says so, and its ports given here accept.
            profiles: Profiles to start, beside those of COMPOSE_PROFILES.
            publish: Clients' links listen on the host ports that the file publishes, on loopback.
            volumes: "own": the file's volumes are made anew for each cluster, and removed with it. "project": those of
                `docker compose up` are used, and never removed. External volumes are used as they are either way.
            environ: What variables are filled in from, over `.env`; None: the environment of this process.
            given: All else as for a System: roles, client, workloads, ready_timeout_s (default 120), name.

        Raises:
            UsageError: A key that is refused, or a value that is wrong: names file, service and key.
        """
        from pytest_coordchaos.system.compose import Choices, system_from_compose

        choices = Choices(
            ports=ports or {}, ready=ready or {}, profiles=profiles, publish=publish, volumes=volumes, environ=environ
        )
        return system_from_compose(path, choices, given)

    def __post_init__(self) -> None:
        if not _SYSTEM_NAME.fullmatch(self.name):
            raise UsageError(f"System name {self.name!r} is not allowed: letters, digits, inner _ and -, at most 64")
        object.__setattr__(self, "nodes", _node_records(self.nodes))
        object.__setattr__(self, "ports", port_records(self.ports, f"System({self.name!r})"))
        self._check_types()
        if self.addresses not in ("per-node", "shared"):
            raise UsageError(f"System({self.name!r}): addresses={self.addresses!r} is not known; allowed: per-node, shared")
        object.__setattr__(self, "jobs", tuple(self.jobs))
        names = [node.name for node in self.everyone]
        if len(set(names)) != len(names):
            raise UsageError(f"System({self.name!r}): two nodes have one name: {', '.join(names)}")
        if not check_alone(self.name, self.coroutines, self.node_names, other=self.entry or self.command or self.image):
            self._check_every_node_starts()
        self._check_ports_agree()
        for node in self.members:
            check_dialled(getattr(self.ready_of(node.name), "dials", ""), self.ports_of(node.name), f"System({self.name!r})")

    def _check_types(self) -> None:
        where = f"System({self.name!r})"
        images = [self.image, *(node.image for node in self.members)]
        if not all(image is None or (isinstance(image, str) and image) for image in images):
            raise UsageError(
                f"{where}: image={self.image!r} is not allowed; the name of a container image, such as 'postgres:16'"
            )
        words = [word for command in (self.command, *(node.command for node in self.members)) for word in command or ()]
        if isinstance(self.command, str) or not all(isinstance(word, str) for word in words) or self.command == []:
            raise UsageError(f"{where}: command={self.command!r} is not allowed; a list of texts, the program first")
        texts = [*self.env.items(), *self.files.items(), *(pair for node in self.members for pair in node.env.items())]
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in texts):
            raise UsageError(f"{where}: env and files map texts to texts; write numbers as texts")
        check_ready(self.ready, where)
        for what, least, value in (("cpus", 0.01, self.cpus), ("memory_mb", 6, self.memory_mb)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= least):
                raise UsageError(f"{where}: {what}={value!r} is not allowed; a number from {least:g}, or None")
        if not all(callable(probe) for probe in self.roles.values()):
            raise UsageError(f"{where}: roles map a name to a coroutine function that is asked of each node")
        if not self.ready_timeout_s > 0:
            raise UsageError(f"{where}: ready_timeout_s={self.ready_timeout_s!r} is not allowed; more than 0 seconds")

    def _check_every_node_starts(self) -> None:
        if any(self.image_of(node.name) or self.command_of(node.name) for node in self.members) == (self.entry is not None):
            raise UsageError(f"System({self.name!r}): give either entry='module:function', or command=[…] or image='…' or both")
        for node in self.members if self.entry is None else ():
            if not (self.image_of(node.name) or self.command_of(node.name)):
                raise UsageError(f"System({self.name!r}): node {node.name} has neither a command nor an image")

    def _check_ports_agree(self) -> None:
        """Budgets and links speak of ports by name, so one name means one thing on every node."""
        first: dict[str, tuple[str, Port]] = {}
        for node in self.members:
            for port in self.ports_of(node.name):
                other, known = first.setdefault(port.name, (node.name, port))
                for what in ("transport", "protocol", "classes", "background"):
                    mine, theirs = getattr(port, what), getattr(known, what)
                    if mine != theirs:
                        both = f"{what}={theirs!r} on {other} and {what}={mine!r} on {node.name}"
                        raise UsageError(
                            f"System({self.name!r}): port {port.name!r} has {both}; make them equal, or give one another name"
                        )

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes as records, in order."""
        return self.nodes  # type: ignore[return-value]  # __post_init__ made records of them

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes' names, in order."""
        return tuple(node.name for node in self.members)

    def linked(self, source: str, target: str) -> bool:
        """Whether one may dial the other: they are two, and share a network where networks are told apart."""
        recipes = [node.recipe for name in (source, target) for node in self.everyone if node.name == name and node.recipe]
        apart = len(recipes) == 2 and not recipes[0].networks & recipes[1].networks
        return source != target and not apart

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Where its nodes can run, the default first."""
        if self.entry is not None:
            return ("process", "docker")
        images, commands = (all(map(what, self.node_names)) for what in (self.image_of, self.command_of))
        return tuple(name for name, can in (("docker", images), ("process", commands)) if can)

    @property
    def everyone(self) -> tuple[Node, ...]:
        """Nodes and jobs."""
        return (*self.members, *self.jobs)

    def image_of(self, node: str) -> str | None:
        """The container image of that node; None: it has none, and runs in containers only by its `entry`."""
        (own,) = (member.image for member in self.everyone if member.name == node)
        return own or self.image

    def command_of(self, node: str) -> Sequence[str] | None:
        """The program and arguments of that node, placeholders as they are; None: its `entry`, or what its image runs."""
        (own,) = (member.command for member in self.everyone if member.name == node)
        return own or self.command

    def ports_of(self, node: str) -> tuple[Port, ...]:
        """The ports of that node, in order; a job has none."""
        owns = [member.ports for member in self.members if member.name == node]
        return tuple(port for own in owns for port in (self.ports if own is None else own))

    def ready_of(self, node: str) -> Ready | None:
        """When that node counts as started; None: as soon as it runs."""
        (own,) = (member.ready for member in self.everyone if member.name == node)
        return own or self.ready

    @property
    def all_ports(self) -> tuple[Port, ...]:
        """Every port name once, in order of the nodes; `number` is that of the first node which has it."""
        ports = [port for name in self.node_names for port in self.ports_of(name)]
        return tuple({port.name: port for port in reversed(ports)}[name] for name in dict.fromkeys(p.name for p in ports))

    def port(self, node: str, name: str) -> Port:
        """The node's port of that name; UsageError when it has none."""
        ports = self.ports_of(node)
        for port in ports:
            if port.name == name:
                return port
        raise UsageError(f"Node {node} has no port {name!r}; it has: {', '.join(p.name for p in ports) or 'none'}")


def _node_records(nodes: Sequence[Node | str] | int) -> tuple[Node, ...]:
    if isinstance(nodes, bool) or (isinstance(nodes, int) and nodes < 1):
        raise UsageError(f"System: nodes={nodes!r} is not allowed; a number from 1, or names")
    if isinstance(nodes, int):
        return tuple(Node(f"n{i}") for i in range(1, nodes + 1))
    if isinstance(nodes, str | float) or not nodes or not all(isinstance(node, Node | str) for node in nodes):
        raise UsageError(f"System: nodes={nodes!r} is not allowed; a number from 1, or a list of names")
    return tuple(node if isinstance(node, Node) else Node(node) for node in nodes)
