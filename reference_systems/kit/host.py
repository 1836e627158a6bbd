"""Gives a node its real world: builds Env from `node.json` and runs main until it ends or anything fails."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from reference_systems.kit.disk import RealDisk
from reference_systems.kit.env import Clock, Disk, Env
from reference_systems.kit.machine import Machine
from reference_systems.kit.network import RealNetwork, read_addresses, read_links

INCARNATION_FILE = "incarnation"


class LoopClock:
    """The node's clock, as its loop has it.

    Args:
        wall: Seconds since 1970 as the node believes.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self.wall = wall

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)


class Crew:
    """The node's tasks. The first that fails takes the node down."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task and watch it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[id(task)] = task
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(id(task), None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Until main returns; raises what any task raised."""
        task = self.spawn(main)
        await asyncio.wait((task, self._failed), return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()


def load(entry: str) -> Callable[[Env], Coroutine[Any, Any, None]]:
    """The coroutine function that "module:function" names."""
    module, _, function = entry.partition(":")
    if not module or not function:
        raise SystemExit(f"entry {entry!r} is not allowed: give module:function")
    main: Callable[[Env], Coroutine[Any, Any, None]] = getattr(importlib.import_module(module), function)
    return main


def next_incarnation(directory: Path) -> int:
    """How often this node was started before; kept beside its data so that each life draws other numbers."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / INCARNATION_FILE
    try:
        count = int(file.read_text())
    except (FileNotFoundError, ValueError):
        count = 0
    scratch = directory / (INCARNATION_FILE + ".new")
    try:
        scratch.write_text(str(count + 1))
        scratch.replace(file)
    except OSError as error:
        print(f"the incarnation count could not be written: {error}", file=sys.stderr, flush=True)
    return count


def read_document(node_file: Path) -> dict[str, Any]:
    """The node's `node.json`."""
    document: dict[str, Any] = json.loads(node_file.read_text())
    return document


def directory_of(node_file: Path) -> Path:
    """The node's own directory."""
    return Path(read_document(node_file).get("dir") or node_file.parent)


async def run(entry: str, node_file: Path, machine: Machine) -> None:
    """Run the node, on a loop of its machine, until its main returns; raises what main or anything it spawned raised."""
    directory, document = directory_of(node_file), read_document(node_file)
    disk = RealDisk(directory / "data", machine)
    draws = random.Random(f"{document['seed']}/{document['name']}/power/{machine.power_losses}")
    gone = disk.journal.lose_power(machine.power_losses, draws)
    if gone is not None:
        print(f"--- coordchaos: the machine of {document['name']} lost power; {gone} unsynced bytes are gone ---", flush=True)
    machine.lost = machine.power_losses
    machine.watch()
    await live(
        entry,
        document,
        clock=LoopClock(machine.wall),
        disk=disk,
        incarnation=next_incarnation(directory),
        read_again=lambda: read_document(node_file),
    )


async def live(
    entry: str,
    document: dict[str, Any],
    *,
    clock: Clock,
    disk: Disk,
    incarnation: int,
    read_again: Callable[[], dict[str, Any]],
) -> None:
    """One life of a node, on the running loop, real or simulated.

    Args:
        entry: "module:function" of its main.
        document: What `node.json` holds.
        clock, disk: The world that is not the loop's.
        incarnation: How often the node was started before.
        read_again: The document as it is now, when a peer is not known.
    """
    crew = Crew()
    env = Env(
        name=document["name"],
        index=document["index"],
        nodes=tuple(document["nodes"]),
        options=document.get("options", {}),
        seed=document["seed"],
        clock=clock,
        network=RealNetwork(read_again, bind=read_addresses(document["bind"]), links=read_links(document), spawn=crew.spawn),
        disk=disk,
        random=random.Random(f"{document['seed']}/{document['name']}/{incarnation}"),
        spawner=crew.spawn,
    )
    await crew.run(load(entry)(env))
