"""Node processes run by hand: all of them end with us, however we end."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Nursery", "free_ports"]

_HOST = "127.0.0.1"
_LIBRARY = Path(__file__).parents[2]
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _FIRST_EPHEMERAL = 10_000, 32_768
_OPEN_S, _POLL_S = 10.0, 0.05
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LOG_LINES = 12


class Nursery:
    """Processes of nodes; they are killed when the `with` block ends, by a signal too, and when this process is killed."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self._claimed = -1
        self._dying = ctypes.CDLL(None) if sys.platform == "linux" else None

    def __enter__(self) -> Nursery:
        signal.signal(signal.SIGTERM, _stop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process, _ in self._nodes.values():
            process.kill()
        for process, _ in self._nodes.values():
            process.wait()
        if self._claimed >= 0:
            os.close(self._claimed)

    def claim(self, directory: Path) -> bool:
        """Have a directory for ourselves until we end; False: another run has it."""
        directory.mkdir(parents=True, exist_ok=True)
        self._claimed = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def start(self, node: str, host: str, entry: str, directory: Path) -> None:
        """Start a node; `node.json` is there, `log` gets what it prints."""
        words = [sys.executable, "-S", "-m", host, entry, str(directory / "node.json")]
        environment = {**os.environ, "PYTHONPATH": str(_LIBRARY)}
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=self._leave_with_parent
            )
        self._nodes[node] = (process, directory)

    def wait_open(self, addresses: Sequence[Any]) -> None:
        """Wait until every address accepts, a node has ended, or it takes too long; `wait` tells of the last two."""
        until = time.monotonic() + _OPEN_S
        for address in addresses:
            while time.monotonic() < until and all(process.poll() is None for process, _ in self._nodes.values()):
                with contextlib.suppress(OSError), socket.create_connection(address, timeout=_POLL_S):
                    break
                time.sleep(_POLL_S)

    def wait(self) -> int:
        """Until the last node has ended; says which ended by itself. Ctrl-C and SIGTERM are a KeyboardInterrupt."""
        running = dict(self._nodes)
        while running:
            time.sleep(_POLL_S)
            for node, (process, directory) in list(running.items()):
                if process.poll() is not None:
                    del running[node]
                    said = (directory / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
                    print("\n".join([f"{node} ended with status {process.returncode}; its log says:", *said]), flush=True)
        return 1

    def _leave_with_parent(self) -> None:
        """In the child: Ctrl-C is ours alone, and the kernel kills it when we are gone."""
        os.setsid()
        if self._dying is not None:
            self._dying.prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has, TCP and UDP, below those that the kernel hands out.

    Raises:
        OSError: There are not that many.
    """
    first = int(_RANGE_FILE.read_text().split()[0]) if _RANGE_FILE.exists() else _FIRST_EPHEMERAL
    candidates = range(_LOWEST, max(first, _LOWEST + 1000))
    start, found = secrets.randbelow(len(candidates)), []
    for step in range(len(candidates)):
        number = candidates[(start + step) % len(candidates)]
        if _free(number):
            found.append(number)
            if len(found) == count:
                return found
    raise OSError(f"only {len(found)} of {count} ports are free on {_HOST}")


def _free(number: int) -> bool:
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as trial:
                trial.bind((_HOST, number))
    except OSError:
        return False
    return True
