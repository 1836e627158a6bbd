"""Run a system by hand: real processes on loopback, no chaos; and ask it something with its own client.

    python -m reference_systems.raft_kv [--nodes 3] [--dir DIR] [--option NAME=VALUE]
    python -m reference_systems.raft_kv ask DIR F [KEY [VALUE]]

`DIR/cluster.json` has the address of every port of every node, `DIR/<node>/log` what it prints, `DIR/<node>/data` its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pytest_coordchaos import Call, Failed, Request, System
from reference_systems.kit.nursery import Nursery, free_ports

__all__ = ["main"]

_USAGE_ERROR, _FAILED, _UNKNOWN = 64, 1, 2
_TIMEOUT_S = 5.0
_SEED = 1


def main(system: Callable[..., System], words: Sequence[str] | None = None) -> None:
    """The command. Ends with status 0, or: ask 1 it did not happen, 2 nobody knows; 64 bad usage."""
    given = list(sys.argv[1:] if words is None else words)
    if given[:1] == ["ask"]:
        raise SystemExit(_ask(system, given[1:]))
    raise SystemExit(_run(system, given))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_refuse(f"{self.prog}: {message}"))


def _run(system: Callable[..., System], words: list[str]) -> int:
    name = system.__module__.rpartition(".")[0]
    parser = _Parser(
        prog=f"python -m {name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the system's nodes on this machine, until Ctrl-C.",
        epilog=f"Options of the system, for --option:\n\n{inspect.getdoc(system)}\n\nAsk it: python -m {name} ask --help",
    )
    parser.add_argument("--nodes", type=int, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument(
        "--dir", type=Path, help="where logs and data lie; it is kept, and goes on where it was (default: a new one)"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the system, value as JSON"
    )
    given = parser.parse_args(words)
    try:
        made = system(given.nodes, **dict(map(_option, given.option)))
    except (ValueError, TypeError) as error:
        return _refuse(str(error))
    directory = (given.dir or Path(tempfile.mkdtemp(prefix=f"{made.name}-"))).resolve()
    with contextlib.suppress(KeyboardInterrupt), Nursery() as nursery:
        if not nursery.claim(directory):
            return _refuse(f"--dir {directory} is in use by a cluster that runs; give another")
        ports = _write_down(made, directory)
        for node in made.node_names:
            nursery.start(node, made.host, str(made.entry), directory / node)
        nursery.wait_open(
            [tuple(ports[node][port.name]) for node in made.node_names for port in made.ports_of(node) if port.accepts]
        )
        _say(made, ports, directory, name)
        return nursery.wait()
    return 0


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--option {text!r} is not allowed; NAME=VALUE")
    return name, _value(value)


def _write_down(system: System, directory: Path) -> dict[str, dict[str, list[Any]]]:
    """One file for each node, with its addresses and its peers', and one with everybody's."""
    wanted = [(node, port) for node in system.node_names for port in system.ports_of(node)]
    numbers = free_ports(len(wanted))
    ports: dict[str, dict[str, list[Any]]] = {node: {} for node in system.node_names}
    for (node, port), number in zip(wanted, numbers, strict=True):
        ports[node][port.name] = ["127.0.0.1", number]
    for index, node in enumerate(system.node_names, start=1):
        document = {
            "name": node,
            "index": index,
            "nodes": list(system.node_names),
            "dir": str(directory / node),
            "seed": _SEED,
            "options": dict(system.options),
            "bind": ports[node],
            "links": {peer: ports[peer] for peer in system.node_names if peer != node},
            "classes": {port.name: {str(kind): name for kind, name in port.classes.items()} for port in system.all_ports},
        }
        (directory / node).mkdir(parents=True, exist_ok=True)
        (directory / node / "node.json").write_text(json.dumps(document, indent=1))
    (directory / "cluster.json").write_text(json.dumps(ports, indent=1))
    return ports


def _say(system: System, ports: dict[str, dict[str, list[Any]]], directory: Path, name: str) -> None:
    for node in system.node_names:
        print(f"{node}: " + ", ".join(f"{port} {host}:{number}" for port, (host, number) in ports[node].items()))
    print(f"logs and data: {directory}")
    print(f"ask it: python -m {name} ask {directory} F [KEY [VALUE]]")
    print("Ctrl-C ends it", flush=True)


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return _USAGE_ERROR


class _Cluster:
    """A running cluster as a client sees it."""

    def __init__(self, ports: dict[str, dict[str, list[Any]]]) -> None:
        self._ports = ports
        self.nodes = tuple(ports)

    def address(self, node: str, port: str) -> tuple[str, int]:
        """Where a port of a node is."""
        host, number = self._ports[node][port]
        return host, number

    async def open_connection(self, node: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        return await asyncio.open_connection(*self.address(node, port))


def _ask(system: Callable[..., System], words: list[str]) -> int:
    name = system.__module__.rpartition(".")[0]
    parser = _Parser(
        prog=f"python -m {name} ask",
        description="Ask a running cluster something, with the client that the workloads use, and print the answer as JSON.",
        epilog=f"exit codes: 0 it was done; {_FAILED} it surely was not; {_UNKNOWN} nobody knows; {_USAGE_ERROR} bad usage",
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="the directory that the cluster said it has")
    parser.add_argument("f", metavar="F", help="what to ask: put, get, …")
    parser.add_argument("key", nargs="?", metavar="KEY", help="the object; - for none")
    parser.add_argument("value", nargs="?", metavar="VALUE", help="the argument, as JSON or as it is")
    parser.add_argument("--node", help="whom to ask (default: the first node)")
    given = parser.parse_args(words)
    try:
        cluster = _Cluster(json.loads((given.dir / "cluster.json").read_text()))
    except (OSError, ValueError) as error:
        return _refuse(f"{given.dir} is no directory of a cluster: {error}")
    node = given.node or cluster.nodes[0]
    if node not in cluster.nodes:
        return _refuse(f"there is no node {node!r}; there are: {', '.join(cluster.nodes)}")
    key = None if given.key in (None, "-") else given.key
    request = Request(f=given.f, key=key, value=None if given.value is None else _value(given.value))
    client = system(len(cluster.nodes)).client
    try:
        print(json.dumps(asyncio.run(_asked(client, cluster, node, request))))
        return 0
    except Failed as error:
        print(f"it did not happen: {error}", file=sys.stderr)
        return _FAILED
    except Exception as error:  # a client says by any other that nobody knows
        print(f"nobody knows whether it happened: {str(error) or type(error).__name__}", file=sys.stderr)
        return _UNKNOWN


async def _asked(client: Any, cluster: _Cluster, node: str, request: Request) -> Any:
    async with asyncio.timeout(_TIMEOUT_S):
        connection = await client.connect(cluster, node)
        try:
            return await client.call(connection, Call(id=time.time_ns(), request=request, timeout_s=_TIMEOUT_S))
        finally:
            if client.close is not None:
                await client.close(connection)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
