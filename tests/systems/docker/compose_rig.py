"""What tests of compose projects share: the projects of the fixtures, and one HTTP request."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from pytest_coordchaos import Cluster

PROJECTS = Path(__file__).parents[3] / "fixtures" / "compose"


def free_port() -> int:
    """A port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def get(cluster: Cluster, node: str, path: str, *, timeout_s: float = 10.0) -> tuple[int, Any]:
    """GET a path of a node's port `http` through the client's link: status and JSON."""
    return request(*cluster.address(node, "http"), "GET", path, timeout_s=timeout_s)


def request(host: str, port: int, method: str, path: str, body: Any = None, *, timeout_s: float = 10.0) -> tuple[int, Any]:
    """One request: status and JSON of the answer."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
