"""The pytest side of the watchdog: exactly one per session, shared by all its clusters."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.runtimes import labels

__all__ = ["ExitEvent", "Guard", "WatchdogError"]

ExitEvent = dict[str, Any]
"""`{"name", "pid", "status", "cpu_s"}`: a process tree is gone."""

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_LINE_BYTES = 1 << 22
_START_S, _CALL_S, _CLOSE_S = 15.0, 5.0, 15.0


class WatchdogError(CoordChaosError):
    """The watchdog refused a request, did not answer in time, or is gone."""


class Guard:
    """One watchdog process and the channel to it. Made by `start`; bound to the loop that started it.

    Attributes:
        run_id: The session's id, carried by every process.
        pid: The watchdog's pid.
        swept: Pids of processes that dead sessions had left and that were ended at the start.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, run_id: str) -> None:
        self.run_id = run_id
        self.pid = process.pid
        self.swept: tuple[int, ...] = ()
        self._process = process
        self._channel = channel
        self._owner_pid = os.getpid()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._last_scope = 0
        self._listeners: dict[str, Callable[[ExitEvent], None]] = {}
        self._gone: str | None = None
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]
        self._hosts_refusal: str | bool | None = True  # True: not asked yet

    @classmethod
    async def start(cls, root: Path, run_id: str) -> Guard:
        """Start the watchdog and end what dead sessions left behind.

        Args:
            root: Where the watchdog's own log is written.
            run_id: The session's id.

        Raises:
            WatchdogError: It did not come up; carries what it wrote.
        """
        log = root / "watchdog.log"
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            guard = cls(_spawn(theirs.fileno(), output.fileno(), run_id), ours, run_id)
        atexit.register(guard.kill_now)
        try:
            swept = asyncio.create_task(asyncio.to_thread(labels.sweep))
            reader, guard._writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
            async with asyncio.timeout(_START_S):
                if not await reader.readline():
                    raise WatchdogError(f"The watchdog ended at once: {log.read_text(errors='replace').strip()[-2000:]}")
            guard._reading = asyncio.create_task(guard._read(reader))
            guard.swept = tuple(await swept)
        except BaseException as error:
            guard.kill_now()
            if isinstance(error, TimeoutError):
                raise WatchdogError(f"The watchdog did not start within {_START_S:g} s") from None
            raise
        return guard

    async def call(self, do: str, *, deadline_s: float = _CALL_S, **arguments: Any) -> Any:
        """Send one request (see `runtimes.orders`) and wait for its answer.

        Raises:
            WatchdogError: It was refused, took longer than `deadline_s`, or the watchdog is gone.
        """
        if self._gone is not None or os.getpid() != self._owner_pid:
            raise WatchdogError(f"{do}: {self._gone or 'this process was forked from the one that owns the watchdog'}")
        self._last_id += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number, self._answers[self._last_id] = self._last_id, answer
        try:
            self._writer.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            raise WatchdogError(f"{do} {arguments.get('name', '')}: not done within {deadline_s:g} s") from None
        finally:
            self._answers.pop(number, None)

    def open_scope(self, listener: Callable[[ExitEvent], None]) -> str:
        """A new name under which processes, ports and addresses are kept; `end` gives all of them back.

        Args:
            listener: Called with each exit event of the scope.
        """
        self._last_scope += 1
        scope = f"c{self._last_scope}"
        self._listeners[scope] = listener
        return scope

    def close_scope(self, scope: str) -> None:
        """Listen to a scope no longer."""
        self._listeners.pop(scope, None)

    @property
    def gone(self) -> bool:
        """Whether the watchdog has ended, and with it everything it had started."""
        return self._gone is not None

    async def hosts_refusal(self) -> str | None:
        """None when nodes can have private hosts files, else why not. The kernel is asked once."""
        if self._hosts_refusal is True:
            self._hosts_refusal = cast("str | None", await self.call("hosts"))
        return cast("str | None", self._hosts_refusal)

    async def aclose(self) -> None:
        """End every process and give back everything; returns when nothing is left. Idempotent."""
        if os.getpid() != self._owner_pid:
            return
        with contextlib.suppress(WatchdogError):
            await self.call("close", deadline_s=_CLOSE_S)
        await asyncio.to_thread(self.kill_now)
        await asyncio.wait([self._reading])
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def kill_now(self) -> None:
        """End everything without a loop: the last resort, also run at exit. Idempotent; nothing in a forked child."""
        if os.getpid() != self._owner_pid:
            return
        atexit.unregister(self.kill_now)
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # reaches the watchdog also while forked children hold the socket
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its keepers see it and end their nodes
            self._process.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self._hear(json.loads(line))
        self._gone = "the watchdog is gone, and every process with it"
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WatchdogError(self._gone))

    def _hear(self, message: dict[str, Any]) -> None:
        if "event" in message:
            listener = self._listeners.get(message["scope"])
            if listener is not None:
                listener(message)
            return
        answer = self._answers.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(WatchdogError(message["error"]))
        else:
            answer.set_result(message["ok"])


def _spawn(channel: int, output: int, run_id: str) -> subprocess.Popen[bytes]:
    """Start the watchdog in a session of its own, so that no signal of the terminal reaches it."""
    flags = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    return subprocess.Popen(
        [sys.executable, *flags, str(_WATCHDOG), str(channel)],
        pass_fds=[channel],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={**os.environ, **labels.labels(run_id), labels.ROLE: labels.WATCHDOG},
        start_new_session=True,
    )
