"""What tests of compose projects share: the projects of the fixtures, a container engine, and one HTTP request."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from pytest_coordchaos import Cluster
from tests.requirements import require

PROJECTS = Path(__file__).parents[2] / "fixtures" / "compose"
BASE = os.environ.get("COORDCHAOS_BASE_IMAGE", "python:3-slim")


def need_engine() -> None:
    """Skip unless a container engine answers and has the base image, or can get it."""
    found = shutil.which("docker") is not None
    require("docker", found, "there is no docker command here")
    answer = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, text=True, timeout=60)
    if answer.returncode:
        pulled = subprocess.run(["docker", "pull", BASE], capture_output=True, text=True, timeout=600)
        require("docker", pulled.returncode == 0, f"no container engine gives the image {BASE}: {pulled.stderr.strip()}")


def docker(*words: str) -> str:
    """What a docker command prints."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout


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
