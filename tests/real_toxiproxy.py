"""A real Toxiproxy server for tests: found on PATH or by COORDCHAOS_TOXIPROXY, started on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from tests.requirements import require

__all__ = ["BINARY", "RealToxiproxy", "our_relay", "real_toxiproxy", "require_toxiproxy"]

BINARY = shutil.which(os.environ.get("COORDCHAOS_TOXIPROXY") or "toxiproxy-server")
"""Where the server is; None: not here."""


@dataclass(frozen=True)
class RealToxiproxy:
    """A server that runs."""

    pid: int
    address: tuple[str, int]

    def client(self, deadline_s: float = 5.0) -> ToxiproxyClient:
        """A client of its own."""
        return ToxiproxyClient(self.address, deadline_s=deadline_s)


def require_toxiproxy() -> str:
    """The server's path; without one the test is skipped, or fails where it is required."""
    require("toxiproxy", BINARY is not None, "there is no toxiproxy-server on PATH (bash .ci/toxiproxy.sh DIR installs it)")
    assert BINARY is not None
    return BINARY


@contextmanager
def real_toxiproxy(*flags: str) -> Iterator[RealToxiproxy]:
    """A server on a free port of loopback; ended with the block."""
    with _running([require_toxiproxy(), *flags]) as server:
        yield server


@contextmanager
def our_relay(*flags: str) -> Iterator[RealToxiproxy]:
    """`coordchaos relay` in its place."""
    with _running([sys.executable, "-m", "pytest_coordchaos.cli", "relay", *flags]) as server:
        yield server


@contextmanager
def _running(command: list[str]) -> Iterator[RealToxiproxy]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    argv = [*command, "-host", address[0], "-port", str(address[1])]
    process = subprocess.Popen(
        argv, env={**os.environ, "LOG_LEVEL": "error"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        server = RealToxiproxy(process.pid, address)
        server.client().wait_started(20, gone=lambda: process.poll() is not None)
        yield server
    finally:
        process.kill()
        process.wait()
