"""What a test session shares of the container engine: the engine, its images, and who tidies up after us."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pytest_coordchaos.runtimes.docker_engine import Engine
from pytest_coordchaos.runtimes.docker_images import DEFAULT_BASE, Images
from pytest_coordchaos.runtimes.docker_sweep import Reaper, docker_labels, sweep

__all__ = ["Docker"]


class Docker:
    """Made by `open`, when the first cluster of containers is started.

    Attributes:
        engine: The engine.
        images: What is known of its images.
        labels: What everything of this session carries.
        relay: Where the relays of its clusters run: "host", "container", or "auto" as long as that is not known.
        swept: Names of what dead sessions had left and that was removed.
    """

    def __init__(self, engine: Engine, images: Images, labels: dict[str, str], reaper: Reaper, relay: str) -> None:
        self.engine = engine
        self.images = images
        self.labels = labels
        self.relay = relay
        self.swept: tuple[str, ...] = ()
        self._reaper = reaper

    @classmethod
    async def open(cls, root: Path, run_id: str, *, base: str = "", relay: str = "auto") -> Docker:
        """Connect to the engine, start the reaper, and remove what dead sessions left.

        Args:
            root: Where the reaper's log is written.
            run_id: The session's id.
            base: The image with python3 on which our own stand; "": the default one.
            relay: Where relays run, as the option says it.

        Raises:
            CapabilityError: There is no engine, or this user may not use it.
        """
        engine = await Engine.connect()
        reaper = await asyncio.to_thread(Reaper, engine, root / "reaper.log")
        docker = cls(engine, Images(engine, base or DEFAULT_BASE), docker_labels(run_id), reaper, relay)
        try:
            docker.swept = tuple(await engine.run(sweep))
        except BaseException:
            await docker.aclose()
            raise
        return docker

    async def aclose(self) -> None:
        """End the reaper, which removes what is left, and let go of the engine. Idempotent."""
        await asyncio.to_thread(self._reaper.close)
        await asyncio.to_thread(self.engine.close)
