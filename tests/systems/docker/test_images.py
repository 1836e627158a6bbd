"""Images that several sessions want at the same moment."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from pytest_coordchaos.runtimes.docker_engine import Engine
from pytest_coordchaos.runtimes.docker_images import Images
from tests.systems.docker.engine import BASE, client


async def test_sessions_that_want_the_same_image_at_once_build_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builds of the same layers at a time: each leaves an image of its own, and a start failed once beside them."""
    package = f"shop_{secrets.token_hex(6)}"
    (tmp_path / f"{package}.py").write_text("pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    engines = [await Engine.connect() for _ in range(4)]
    sdk = client()
    try:
        tags = await asyncio.gather(*(Images(engine, BASE).of_entry([package]) for engine in engines))
        assert len(set(tags)) == 1
        label = f"coordchaos.image={tags[0].partition(':')[2]}"
        assert len(sdk.images.list(filters={"label": label})) == 1, "a second build would have left its twin without a name"
        sdk.images.remove(tags[0])
    finally:
        sdk.close()
        for engine in engines:
            engine.close()
