"""A worker process as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.simulation.shipping import dumps, loads
from pytest_coordchaos.simulation.worker import read_frame, write_frame

__all__ = ["HASH_SEED", "Worker"]

HASH_SEED = "0"
"""The hash seed of every worker: sets of strings have one order."""


class Worker:
    """One worker. One request at a time; calls from several threads wait for each other.

    Args:
        log: Where what it prints goes; None: to this process's standard error.
        module: What it runs.
        arguments: Handed to it.
    """

    def __init__(
        self, log: Path | None = None, *, module: str = "pytest_coordchaos.simulation.worker", arguments: Sequence[str] = ()
    ) -> None:
        self._lock = threading.Lock()
        leash, self._hold = os.pipe()
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED, "TZ": "UTC"}
        environment.pop("PYTHONASYNCIODEBUG", None)
        output = None if log is None else log.open("ab")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(leash), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                pass_fds=[leash],
            )
        finally:
            os.close(leash)
            if output is not None:
                output.close()
        self._send(dumps([entry or os.getcwd() for entry in sys.path]))

    def ask(self, name: str, *arguments: Any) -> Any:
        """A request and its answer.

        Raises:
            CoordChaosError: What the request raised, or that the worker is gone.
        """
        with self._lock:
            self._send(dumps((name, arguments)))
            assert self._process.stdout is not None
            frame = read_frame(self._process.stdout)  # type: ignore[arg-type]  # a buffered reader is a BinaryIO
        if frame is None:
            raise CoordChaosError(f"the simulation's process ended with status {self._process.wait()} while it did {name!r}")
        fine, value = loads(frame)
        if not fine:
            raise value
        return value

    def close(self) -> None:
        """End it, whatever it does. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(OSError):
            os.close(self._hold)
        self._hold = -1

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, data)  # type: ignore[arg-type]  # a buffered writer is a BinaryIO
        except (OSError, ValueError):
            raise CoordChaosError(f"the simulation's process is gone (status {self._process.poll()})") from None
