"""One container through its lives: make, start, kill, pause, resume, and what it used."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.errors import FaultError
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.docker_containers import Container, Death, archive, create, follow, read_text
from pytest_coordchaos.runtimes.docker_engine import Engine, EngineError
from pytest_coordchaos.runtimes.machine_orders import MachineOrders

if TYPE_CHECKING:
    import docker

__all__ = ["Member", "machine_orders", "why_not_started"]

_END_S = 20.0
_BUSY, _BUSY_S, _FREEZES = "unable to freeze", 0.05, 20
_NO_PROGRAM = ("executable file not found", "no such file or directory")


class Member:
    """A node's container and what was heard of it. All methods but those of the engine's thread run in one loop.

    Args:
        engine: Who runs it.
        name: The node.
        log: Where its output goes.

    Attributes:
        id: The engine's; "": not made yet.
        pid: Its first process as this machine numbers it; 0: dead, or not known.
        status: Exit status of its last life; None while it lives.
    """

    def __init__(self, engine: Engine, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.argv: Sequence[str] = ()
        self.directory = ""
        self.id = ""
        self.pid = 0
        self.starts = 0
        self.state = NodeState.DEAD
        self.status: int | None = None
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        self._busy: asyncio.Task[None] | None = None
        self._dead_cpu_s = self._live_cpu_s = 0.0

    @property
    def alive(self) -> bool:
        """It was started and has not ended, as far as was heard."""
        return self.state is not NodeState.DEAD

    async def make(self, container: Container, files: bytes = b"", where: str = "/") -> None:
        """Make the container with its files in it, unpacked in directory `where`.

        Raises:
            EngineError: It was refused; then there is none.
        """
        await self._to_its_end(self._make(container, files, where))

    async def start(self) -> None:
        """Start it (again). EngineError: it was refused; then there is no container any more."""
        await self._to_its_end(self._start())

    async def settle(self) -> None:
        """Wait for a make or a start that is under way, although nobody may be waiting for it any more."""
        if self._busy is not None:
            await asyncio.wait([self._busy])

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone. FaultError: it does not go."""
        if not self.alive:
            return
        with contextlib.suppress(EngineError):
            await self.cpu_seconds()
            await self._engine.run(lambda client: client.kill(self.id))  # refused: it has ended meanwhile
        try:
            async with asyncio.timeout(_END_S):
                await self._gone.wait()
        except TimeoutError:
            raise FaultError(f"kill({self.name!r}): the container did not end within {_END_S:g} s") from None

    async def pause(self) -> None:
        """Freeze it, and look whether it is frozen."""
        await self._become("pause", NodeState.PAUSED)

    async def resume(self) -> None:
        """Thaw it, and look whether it runs."""
        await self._become("resume", NodeState.RUNNING)

    def read_log(self) -> str:
        """What it has printed so far, all lives."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    async def put_text(self, name: str, text: str) -> None:
        """Write a file in its directory, also while it is dead. EngineError: it was refused."""
        files = archive(self.directory, {name: text})
        await self._engine.run(lambda client: client.put_archive(self.id, "/", files))

    async def read_text(self, name: str) -> str | None:
        """A file of its directory; None: there is none."""
        return await self._engine.run(lambda client: read_text(client, self.id, f"{self.directory}/{name}"))

    async def signal(self, number: int) -> None:
        """Send its first process a signal. FaultError: it is dead."""
        try:
            await self._engine.run(lambda client: client.kill(self.id, number))
        except EngineError as error:
            raise FaultError(f"signal({self.name!r}): {error}") from None

    async def health(self) -> str:
        """What its health check says; "" when it has none, or is dead."""
        if not self.alive:
            return ""
        with contextlib.suppress(EngineError):
            state = await self._engine.run(lambda client: client.inspect_container(self.id)["State"])
            said = str((state.get("Health") or {}).get("Status", ""))
            return "" if said == "none" else said
        return ""

    async def cpu_seconds(self) -> float:
        """CPU seconds of all its lives so far."""
        if self.alive:
            life = self.starts
            with contextlib.suppress(EngineError, KeyError):
                stats = await self._engine.run(lambda client: client.stats(self.id, stream=False, one_shot=True))
                used_s = float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9
                if self.alive and life == self.starts:
                    self._live_cpu_s = max(self._live_cpu_s, used_s)
        return self._dead_cpu_s + self._live_cpu_s

    def died_with_cluster(self) -> None:
        """Its container was removed."""
        self._die(Death(-signal.SIGKILL, False, ""))

    # -- inside ----------------------------------------------------------------------------------------

    async def _to_its_end(self, work: Coroutine[None, None, None]) -> None:
        """A worker thread cannot be stopped: who gives up waiting must not lose the container that it makes."""
        self._busy = asyncio.get_running_loop().create_task(work)
        await asyncio.shield(self._busy)

    async def _make(self, container: Container, files: bytes, where: str) -> None:
        def work(client: docker.APIClient) -> str:
            id = create(client, container)
            try:
                if files:
                    client.put_archive(id, where, files)
            except BaseException:
                client.remove_container(id, force=True, v=True)
                raise
            return id

        self.id = await self._engine.run(work)

    async def _start(self) -> None:
        await asyncio.to_thread(self._prepare_log)
        self.starts += 1
        self.state, self.status = NodeState.RUNNING, None
        self._gone.clear()
        try:
            on_death = partial(self._loop_call, self.starts)
            await asyncio.to_thread(follow, self._engine, self.id, self.log, on_death)
            self.pid = await self._engine.run(self._started)
        except BaseException:
            id, self.id = self.id, ""
            self.state, self.status = NodeState.DEAD, 127
            with contextlib.suppress(EngineError):
                await self._engine.run(lambda client: client.remove_container(id, force=True, v=True))
            raise

    def _prepare_log(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.starts:
            self._write(f"--- coordchaos: {self.name} is started again (start {self.starts + 1}) ---\n")

    def _write(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line)

    def _started(self, client: docker.APIClient) -> int:
        client.start(self.id)
        return int(client.inspect_container(self.id)["State"]["Pid"])  # what `start` answers says nothing

    async def _become(self, word: str, state: NodeState) -> None:
        def work(client: docker.APIClient) -> str:
            (client.pause if word == "pause" else client.unpause)(self.id)
            return str(client.inspect_container(self.id)["State"]["Status"])

        if self.state is state:
            return
        try:
            seen = await self._again_while_busy(work)
        except EngineError as error:
            raise FaultError(f"{word}({self.name!r}): {error if self.alive else f'{self.name} is dead'}") from None
        if seen != str(state):
            raise FaultError(f"{word}({self.name!r}): the container is {seen}")
        if self.alive:
            self.state = state

    async def _again_while_busy(self, work: Callable[[docker.APIClient], str]) -> str:
        """A container cannot be frozen at the moment in which a health check enters it; it can be a little later."""
        for _ in range(_FREEZES):
            try:
                return await self._engine.run(work)
            except EngineError as error:
                if not self.alive or _BUSY not in str(error):
                    raise
                await asyncio.sleep(_BUSY_S)
        return await self._engine.run(work)

    def _loop_call(self, life: int, death: Death) -> None:
        """From the thread that follows the container."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(self._died, life, death)

    def _died(self, life: int, death: Death) -> None:
        if life != self.starts or not self.alive:
            return
        if death.out_of_memory:
            self._write(f"--- coordchaos: {self.name} was killed by the kernel: it used more memory than it may ---\n")
        self._die(death)

    def _die(self, death: Death) -> None:
        if not self.alive:
            return
        self.state, self.status, self.pid = NodeState.DEAD, death.status, 0
        self._dead_cpu_s, self._live_cpu_s = self._dead_cpu_s + self._live_cpu_s, 0.0
        self._gone.set()


def machine_orders(members: Mapping[str, Member]) -> MachineOrders:
    """How nodes are told about their clocks and disks."""
    return MachineOrders(
        put=lambda node, name, text: members[node].put_text(name, text),
        get=lambda node, name: members[node].read_text(name),
        announce=lambda node: members[node].signal(signal.SIGURG),
        state=lambda node: members[node].state,
    )


def why_not_started(error: str, argv: Sequence[str]) -> str:
    """An engine's refusal in few words: it quotes its whole machinery when a program is not there."""
    if argv and any(text in error.lower() for text in _NO_PROGRAM) and ("exec" in error or "OCI" in error):
        return f"cannot run {argv[0]!r}: No such file or directory"
    return error
