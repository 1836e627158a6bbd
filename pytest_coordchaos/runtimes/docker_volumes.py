"""Volumes of a cluster: its own are made and removed, those of others are only looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.runtimes.docker_engine import Engine, EngineError
from pytest_coordchaos.runtimes.docker_sweep import remove
from pytest_coordchaos.system.recipe import MountKind, Recipe

if TYPE_CHECKING:
    import docker

__all__ = ["Volumes"]


class Volumes:
    """The volumes of one cluster: made when first asked for, removed at its end.

    Args:
        engine: Whose volumes.
        prefix: Of their names.
        labels: Whose they are.
    """

    def __init__(self, engine: Engine, prefix: str, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._prefix = prefix
        self._labels = labels
        self._made: dict[str, asyncio.Task[None]] = {}

    async def ready(self, recipe: Recipe) -> dict[str, str]:
        """Make what a recipe needs; its names -> the engine's.

        Raises:
            StartError: An external volume is not there.
            EngineError: The engine refused one.
        """
        for mount in recipe.mounts:
            if mount.kind is MountKind.EXTERNAL and not mount.create:
                await self._look_for(mount.source)
        for name, options in recipe.volumes.items():
            if name not in self._made:
                make = partial(_make, name=self._name(name), options=options, labels=self._labels)
                self._made[name] = asyncio.get_running_loop().create_task(self._engine.run(make))
            await asyncio.shield(self._made[name])
        return {name: self._name(name) for name in recipe.volumes}

    async def remove(self) -> None:
        """Remove those that were made; no container may have them any more. Idempotent."""
        await asyncio.gather(*self._made.values(), return_exceptions=True)
        names = [self._name(name) for name in self._made]
        if names:
            await self._engine.run(partial(remove, containers=(), networks=(), volumes=names))

    def _name(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    async def _look_for(self, name: str) -> None:
        try:
            await self._engine.run(lambda client: client.inspect_volume(name))
        except EngineError as error:
            if error.status != 404:
                raise
            raise StartError(f"The external volume {name!r} is not there; make it with `docker volume create {name}`") from None


def _make(client: docker.APIClient, name: str, options: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    client.create_volume(
        name, driver=options["Driver"], driver_opts=dict(options["DriverOpts"]), labels={**options["Labels"], **labels}
    )
