"""Where the clusters of one session run: its watchdog, its container engine, and which runtime each System gets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.errors import CapabilityError, UsageError
from pytest_coordchaos.laying_out import process_layout
from pytest_coordchaos.runtimes.base import Runtime
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.system.model import System
from pytest_coordchaos.wiring import Home, Layout, process_home

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.docker_relay import RelayContainer
    from pytest_coordchaos.runtimes.docker_session import Docker

__all__ = ["Ground", "Place", "choose_runtime"]

_GIVES = {"docker": "an image", "process": "a command"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a cluster is started on.

    Args:
        system: The System, with the ports that its images expose.
        runtime: Where its nodes run.
        reason: Why there.
        layout: Who listens where.
        relay: The relay, where it is a container; None: a process of this machine.
        home: What its nodes find there.
    """

    system: System
    runtime: Runtime
    reason: str
    layout: Layout
    home: Home
    relay: RelayContainer | None = None


class Ground:
    """What all clusters of a session share. Made by `start`.

    Args:
        guard: The watchdog.
        root: The session's directory.
        run_id: The session's id.
        base_image: The image on which our own stand; "": the default one.
        relay: Where the relays of containers run, as the option says it.
    """

    def __init__(self, guard: Guard, root: Path, run_id: str, base_image: str, relay: str) -> None:
        self._guard = guard
        self._root = root
        self._run_id = run_id
        self._base_image = base_image
        self._relay = relay
        self._docker: Docker | None = None
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, root: Path, run_id: str, *, base_image: str = "", relay: str = "auto") -> Ground:
        """Start the watchdog; no engine is asked yet. WatchdogError: it did not come up."""
        return cls(await Guard.start(root, run_id), root, run_id, base_image, relay)

    async def place(self, system: System, root: Path, asked: str) -> Place:
        """Make a runtime for a System. It is the caller's to stop.

        Args:
            root: The cluster's directory.
            asked: The runtime that was asked for; "": what the System declares.

        Raises:
            UsageError: The System cannot run there.
            CapabilityError: This machine cannot give what it needs.
            StartError: What it needs could not be made.
        """
        name, reason = await self._chosen(system, asked)
        if name == "docker":
            return await self._containers(system, root, reason)
        if system.cpus is not None or system.memory_mb is not None:
            raise CapabilityError(
                f"System({system.name!r}): runtime process cannot limit cpus= and memory_mb=; --coordchaos-runtime=docker can"
            )
        runtime = await ProcessRuntime.create(self._guard, self._run_id, root)
        try:
            layout = await process_layout(system, runtime)
        except BaseException:
            await runtime.stop()
            raise
        return Place(system=system, runtime=runtime, reason=reason, layout=layout, home=process_home(system, root))

    async def docker(self) -> Docker:
        """The session's part of the container engine. CapabilityError: there is none, or this user may not use it."""
        from pytest_coordchaos.runtimes.docker_session import Docker

        async with self._turn:
            if self._docker is None:
                self._docker = await Docker.open(self._root, self._run_id, base=self._base_image, relay=self._relay)
        return self._docker

    async def aclose(self) -> None:
        """End everything; returns when nothing is left. Idempotent."""
        try:
            if self._docker is not None:
                await self._docker.aclose()
        finally:
            await self._guard.aclose()

    async def _chosen(self, system: System, asked: str) -> tuple[str, str]:
        if asked != "auto" or "docker" not in system.runtimes:
            return choose_runtime(system, asked)
        from pytest_coordchaos.runtimes.docker_engine import answers

        return choose_runtime(system, asked, no_engine=None if self._docker else await answers())

    async def _containers(self, system: System, root: Path, reason: str) -> Place:
        from pytest_coordchaos.containers import container_home, container_layout, container_runtime, with_exposed_ports

        docker = await self.docker()
        system = await with_exposed_ports(system, docker, root / "builds")
        runtime = await container_runtime(system, docker, self._guard, self._run_id, root)
        try:
            home = await container_home(system, runtime)
            layout = container_layout(system, runtime)
            if runtime.relay is not None:
                reason += "; its relay is a container too"
            return Place(system=system, runtime=runtime, reason=reason, layout=layout, home=home, relay=runtime.relay)
        except BaseException:
            await runtime.stop()
            raise


def choose_runtime(system: System, asked: str, *, no_engine: str | None = None) -> tuple[str, str]:
    """Which runtime a System gets, and why.

    Args:
        asked: "process", "docker", "auto" (docker where an engine answers and the System can), or "": what it declares.
        no_engine: Why no container engine can be used; None: one answers.

    Raises:
        UsageError: It cannot run there.
        CapabilityError: It can run in containers only, and there is no engine.
    """
    can, where = system.runtimes, f"System({system.name!r})"
    if not can:
        raise UsageError(f"{where}: some of its nodes have only a command and others only an image; no runtime can start all")
    if asked == "auto":
        if "docker" in can and no_engine is None:
            return "docker", "auto: an engine answers"
        if "process" not in can:
            raise CapabilityError(f"{where} gives an image: {no_engine}")
        return "process", f"auto: {no_engine or 'its System gives no image'}"
    if asked and asked not in can:
        missing = (
            "only a command; give image='…' with that program in it too"
            if asked == "docker"
            else "only an image; give command=[…] too"
        )
        raise UsageError(f"runtime {asked} was asked for, but {where} gives {missing}, or use runtime {can[0]}")
    if asked:
        return asked, "asked for"
    return can[0], f"its System gives {'an entry' if system.entry else _GIVES[can[0]]}"
