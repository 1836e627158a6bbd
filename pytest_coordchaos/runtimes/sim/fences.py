"""What simulated programs must not do raises at the call, with a sentence: threads, processes, sockets, signals, sleep.

Fences hold only while a simulation runs, and only in processes that installed them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.sockets import SimSocket

__all__ = ["FENCED", "install", "uninstall"]

FENCED: dict[tuple[Any, str], str] = {
    (threading.Thread, "start"): "a thread runs at the real machine's pace; use tasks, or loop.run_in_executor",
    (subprocess.Popen, "__init__"): "another program would live on the real clock",
    (os, "fork"): "another process would live on the real clock",
    (os, "system"): "another program would live on the real clock",
    (signal, "signal"): "a simulated node is killed, paused and resumed by its runtime",
    (time, "sleep"): "it would stop every node; use `await asyncio.sleep(…)`",
    (socket, "create_connection"): "it would block every node; use asyncio's streams",
    (socket, "create_server"): "it would block every node; use asyncio's streams",
    (socket, "getaddrinfo"): "the real name service is not asked; use loop.getaddrinfo",
    (socket, "gethostbyname"): "the real name service is not asked; use loop.getaddrinfo",
}
"""(owner, name) -> why not."""

_real_socket = socket.socket
_originals: dict[tuple[Any, str], Any] = {}


class _Socket(_real_socket):
    """`socket.socket`, of which simulated programs get a stub."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        if active.loop is not None and cls is _Socket:
            return SimSocket(*arguments, **options)
        return super().__new__(cls)


class _Output:
    """Standard output or error: what a simulated node prints goes to the node's log."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    def write(self, text: str) -> int:
        """To the node that runs, or to the real stream."""
        loop = active.loop
        if loop is None or loop.node is None:
            return self._real.write(text)
        loop.node.output.append(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def install() -> None:
    """Put the fences up. Idempotent."""
    if _originals:
        return
    for (owner, name), why in FENCED.items():
        _replace(owner, name, _fence(getattr(owner, name), f"{getattr(owner, '__name__', owner)}.{name}", why))
    _replace(socket, "socket", _Socket)
    _replace(sys, "stdout", _Output(sys.stdout))
    _replace(sys, "stderr", _Output(sys.stderr))


def uninstall() -> None:
    """Take the fences down. Idempotent."""
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()


def _replace(owner: Any, name: str, new: Any) -> None:
    _originals[owner, name] = getattr(owner, name)
    setattr(owner, name, new)


def _fence(original: Callable[..., Any], what: str, why: str) -> Callable[..., Any]:
    def fenced(*arguments: Any, **options: Any) -> Any:
        if active.loop is not None:
            raise CapabilityError(f"{what}() is not simulated: {why}")
        return original(*arguments, **options)

    return fenced
