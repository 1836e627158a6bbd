"""Images: those a System names, the base of our own, and the one that holds the sources of `entry` nodes.

The last is built from the Dockerfile beside this file, on first use, and found again by a hash of all that is in it: the
Dockerfile, the base image, and every file of the packages that the node is started from.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.errors import StartError, UsageError
from pytest_coordchaos.runtimes.docker_engine import Engine, EngineError
from pytest_coordchaos.runtimes.docker_recipe import build
from pytest_coordchaos.runtimes.locks import exclusive
from pytest_coordchaos.system.protocols import TRANSPORTS
from pytest_coordchaos.system.recipe import Recipe

if TYPE_CHECKING:
    import docker

__all__ = ["DEFAULT_BASE", "LIBRARY", "Images", "sources_of"]

DEFAULT_BASE = "python:3-slim"
LIBRARY = "/opt/coordchaos"
"""Where the image of `entry` nodes has their sources."""

_DOCKERFILE = Path(__file__).with_name("Dockerfile")
_REPOSITORY, _LABEL = "coordchaos-node", "coordchaos.image"
_BUILD_S = 600


class Images:
    """What this session knows of the engine's images; each is looked for once.

    Args:
        engine: Whose images.
        base: The image with a python3 on which our own stand.
    """

    def __init__(self, engine: Engine, base: str) -> None:
        self.base = base
        self._engine = engine
        self._tasks: dict[object, asyncio.Task[str]] = {}

    async def present(self, image: str) -> str:
        """Its id; it is pulled where it is not there yet.

        Raises:
            StartError: It is not there and cannot be pulled.
        """
        return await self._once(image, lambda: self._present(image))

    async def of_entry(self, modules: Sequence[str]) -> str:
        """The name of an image with the packages of these modules; built when there is none yet.

        Raises:
            UsageError: There is no such module.
            StartError: The base image is not there, or has no python3.
        """
        return await self._once(tuple(modules), lambda: self._of_entry(modules))

    async def of_recipe(self, recipe: Recipe, scratch: Path) -> tuple[tuple[int, str], ...]:
        """Have a recipe's image: built, pulled, or there already; the ports it exposes, as (number, "tcp" or "udp").

        Args:
            scratch: A directory for what the build needs on disk.

        Raises:
            StartError: It cannot be built or pulled.
        """
        if recipe.build is not None:
            await self._once(("build", recipe.image), lambda: self._of_build(recipe, scratch))
        elif recipe.pull == "always":
            await self._once(("pull", recipe.image), lambda: self._of_pull(recipe))
        elif recipe.pull != "never":
            await self.present(recipe.image)
        try:
            found = await self._engine.run(lambda client: client.inspect_image(recipe.image))
        except EngineError as error:
            raise StartError(f"The image {recipe.image!r} is not there, and is never to be pulled: {error}") from None
        exposed = (found.get("Config") or {}).get("ExposedPorts") or {}
        pairs = [(int(number), transport) for number, _, transport in (port.partition("/") for port in exposed)]
        return tuple(sorted(pair for pair in pairs if pair[1] in TRANSPORTS))

    async def _of_build(self, recipe: Recipe, scratch: Path) -> str:
        assert recipe.build is not None
        async with exclusive(recipe.image, at_most_s=_BUILD_S):  # two builds of the same layers at once: one of them may fail
            await self._engine.run(partial(build, tag=recipe.image, how=recipe.build, scratch=scratch))
        return recipe.image

    async def _of_pull(self, recipe: Recipe) -> str:
        await self._engine.run(partial(_pull, image=recipe.image, platform=recipe.platform))
        return recipe.image

    async def _once(self, key: object, make: Any) -> str:
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[key] = asyncio.get_running_loop().create_task(make())
        return await asyncio.shield(task)

    async def _present(self, image: str) -> str:
        try:
            return await self._engine.run(lambda client: str(client.inspect_image(image)["Id"]))
        except EngineError as error:
            if error.status != 404:
                raise
        try:
            await self._engine.run(lambda client: _pull(client, image))
            return await self._engine.run(lambda client: str(client.inspect_image(image)["Id"]))
        except EngineError as error:
            more = (
                "; --coordchaos-base-image (COORDCHAOS_BASE_IMAGE) names another one with python3" if image == self.base else ""
            )
            raise StartError(f"The image {image!r} is not there and cannot be pulled: {error}{more}") from None

    async def _of_entry(self, modules: Sequence[str]) -> str:
        base_id = await self.present(self.base)
        files = await asyncio.to_thread(sources_of, modules)
        digest = hashlib.sha256(f"{base_id}\0".encode() + _DOCKERFILE.read_bytes())
        for path, data in sorted(files.items()):
            digest.update(f"{path}\0{len(data)}\0".encode() + data)
        tag = f"{_REPOSITORY}:{digest.hexdigest()[:16]}"
        if not await self._is_there(tag):
            async with exclusive(tag, at_most_s=_BUILD_S):  # two builds of the same layers at once: one of them may fail
                if not await self._is_there(tag):
                    await self._engine.run(lambda client: _build(client, tag, self.base, files))
        return tag

    async def _is_there(self, image: str) -> bool:
        try:
            await self._engine.run(lambda client: client.inspect_image(image))
        except EngineError as error:
            if error.status != 404:
                raise
            return False
        return True


def sources_of(modules: Sequence[str]) -> dict[str, bytes]:
    """Path -> content of every file of the top-level packages of these modules, compiled ones left out.

    Raises:
        UsageError: There is no such module, or it has no files.
    """
    files: dict[str, bytes] = {}
    for top in dict.fromkeys(module.partition(".")[0] for module in modules):
        found = find_spec(top)
        places = [Path(place) for place in (found.submodule_search_locations or ()) if found] if found else []
        if not places and found is not None and found.origin and found.origin.endswith(".py"):
            files[f"{top}.py"] = Path(found.origin).read_bytes()
            continue
        if not places:
            raise UsageError(f"Module {top!r} of the System's entry cannot be put into an image: no file of it was found")
        for place in places:
            for path in sorted(place.rglob("*")):
                if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts:
                    files[f"{top}/{path.relative_to(place).as_posix()}"] = path.read_bytes()
    return files


def _pull(client: docker.APIClient, image: str, platform: str = "") -> None:
    for line in client.pull(image, stream=True, decode=True, platform=platform or None):
        if "error" in line:
            raise EngineError(str(line["error"]))


def _build(client: docker.APIClient, tag: str, base: str, files: Mapping[str, bytes]) -> None:
    lines = client.build(
        fileobj=_context(files),
        custom_context=True,
        encoding="gzip",
        tag=tag,
        buildargs={"BASE": base},
        labels={_LABEL: tag.partition(":")[2]},
        rm=True,
        forcerm=True,
        decode=True,
        timeout=_BUILD_S,
    )
    said = ""
    for line in lines:
        said += line.get("stream", "")
        if "error" in line:
            if "python3: not found" in said + line["error"]:
                raise StartError(f"The base image {base!r} has no python3; --coordchaos-base-image names another one")
            raise StartError(
                f"The image of the nodes cannot be built on {base!r}: {line['error']}", tuple(said.splitlines()[-8:])
            )


def _context(files: Mapping[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for path, data in [("Dockerfile", _DOCKERFILE.read_bytes()), *((f"lib/{path}", data) for path, data in files.items())]:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    out.seek(0)
    return out
