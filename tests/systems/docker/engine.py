"""The engine and the base image of the tests, and looking at what is with the engine."""

from __future__ import annotations

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_coordchaos.runtimes.docker_engine import Engine, answers
from pytest_coordchaos.runtimes.docker_images import DEFAULT_BASE

BASE = os.environ.get("COORDCHAOS_BASE_IMAGE") or DEFAULT_BASE


@functools.cache
def no_engine() -> str | None:
    """Why there can be no containers here; None: there can."""
    with ThreadPoolExecutor(1) as other:  # a test's own loop may be running in this thread
        return other.submit(asyncio.run, _refusal()).result()


async def _refusal() -> str | None:
    from pytest_coordchaos.errors import CoordChaosError
    from pytest_coordchaos.runtimes.docker_images import Images

    why = await answers()
    if why is not None:
        return why
    engine = await Engine.connect()
    try:
        await Images(engine, BASE).present(BASE)
    except CoordChaosError as error:
        return str(error)
    finally:
        engine.close()
    return None


def client() -> Any:
    """The SDK's own client, for tests to look and make with."""
    import docker

    return docker.from_env()


def left_of(run: str) -> list[str]:
    """Names of containers, networks and volumes whose run begins so."""
    with_label = {"label": "coordchaos.run"}
    sdk = client()
    try:
        found = [(one.name, one.labels) for one in sdk.containers.list(all=True, filters=with_label, ignore_removed=True)]
        found += [(one.name, one.attrs["Labels"]) for one in sdk.networks.list(filters=with_label)]
        found += [(one.name, one.attrs["Labels"]) for one in sdk.volumes.list(filters=with_label)]
        return [name for name, labels in found if labels["coordchaos.run"].startswith(run)]
    finally:
        sdk.close()
