"""A system of three nodes that ask each other on demand: the smallest thing a partition can be seen on."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from pytest_coordchaos import Cluster, Port, System, ready_port

PROGRAM = Path(__file__).parent / "programs" / "mesh_node.py"


def mesh_system(nodes: int = 3) -> System:
    """Every node gets its own view of its peers, on its command line."""
    return System(
        name="mesh",
        nodes=nodes,
        ports=[Port("peer", protocol="json-lines"), Port("client", protocol="json-lines")],
        command=[sys.executable, "-S", str(PROGRAM), "{name}", "{bind:peer}", "{bind:client}", "{peers:peer:%n=%a}"],
        ready=ready_port("client"),
    )


def tell(cluster: Cluster, node: str, request: dict[str, Any], *, timeout_s: float = 5.0) -> Any:
    """Send one request to a node through the client's link and return its answer."""
    with socket.create_connection(cluster.address(node, "client"), timeout=timeout_s) as connection:
        connection.sendall(json.dumps({"timeout_s": 0.5, **request}).encode() + b"\n")
        with connection.makefile() as lines:
            return json.loads(lines.readline())["answer"]


def ask(cluster: Cluster, source: str, target: str, text: str = "hello") -> str:
    """Let `source` ping `target`; the text comes back, or why not."""
    answer: str = tell(cluster, source, {"type": "ping", "to": target, "text": text})
    return answer
