"""The Toxiproxy server of a cluster as a container: in this machine's own network, so that it reaches what the relay reaches."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.relay.ports import PortChooser
from pytest_coordchaos.relay.toxiproxy import errors
from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from pytest_coordchaos.relay.toxiproxy.server import ToxiproxyServer
from pytest_coordchaos.relay.toxiproxy.source import Source, version_note
from pytest_coordchaos.relay.wire import Address
from pytest_coordchaos.runtimes.docker_containers import Container
from pytest_coordchaos.runtimes.docker_engine import EngineError
from pytest_coordchaos.runtimes.docker_member import Member
from pytest_coordchaos.runtimes.docker_session import Docker
from pytest_coordchaos.runtimes.docker_sweep import remove

__all__ = ["start_container"]

_START_S = 20.0
_LOG_LINES = 20


async def start_container(source: Source, docker: Callable[[], Awaitable[Docker]], root: Path, proxies: int) -> ToxiproxyServer:
    """A server with room for so many proxies. It carries the session's labels: what is left of it is swept.

    Raises:
        CapabilityError: There is no engine.
        UsageError: Its version is too old.
        StartError: There is no such image, or it did not start.
    """
    session = await docker()
    api, *ports = await asyncio.to_thread(_free_ports, 1 + proxies)
    client = ToxiproxyClient(api)
    member = Member(session.engine, "toxiproxy", root / "toxiproxy.log")
    end = partial(_end, session, member)

    async def start() -> str:
        try:
            await member.start()
            return await asyncio.to_thread(client.wait_started, _START_S, lambda: not member.alive)
        except (EngineError, errors.ToxiproxyError) as error:
            await end()
            raise StartError(f"Toxiproxy ({source.words}) did not start: {error}", _tail(member.log)) from None

    async def start_again() -> None:
        await member.kill()
        await start()

    try:
        await session.images.present(source.image)
        await member.make(_container(source.image, api, session.labels))
    except EngineError as error:
        raise StartError(f"Toxiproxy ({source.words}) could not be made: {error}") from None
    version = await start()
    try:
        note = version_note(version, source.words)
    except BaseException:
        await end()
        raise
    return ToxiproxyServer(
        client=client,
        version=version,
        words=source.words,
        ports=ports,
        metrics=True,
        notes=[note] if note else [],
        start_again=start_again,
        end=end,
    )


def _container(image: str, api: Address, labels: Mapping[str, str]) -> Container:
    name = f"coordchaos-toxiproxy-{secrets.token_hex(6)}"
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": ["-host", api[0], "-port", str(api[1]), "-proxy-metrics"],
        "Env": ["LOG_LEVEL=error"],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "host"},
    }
    return Container(name=name, image=image, network="host", address="", labels=labels, body=body)


async def _end(session: Docker, member: Member) -> None:
    """Remove it. Idempotent."""
    if member.id:
        with suppress(EngineError):
            await session.engine.run(partial(remove, containers=[member.id], networks=()))
        member.died_with_cluster()
        member.id = ""


def _free_ports(count: int) -> list[Address]:
    """Below the ephemeral range, and free until just now: no holder can stand beside a container."""
    chooser = PortChooser(secrets.token_hex(4))
    held = [chooser.hold("127.0.0.1") for _ in range(count)]
    for port in held:
        port.close()
    return [port.address for port in held]


def _tail(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text(errors="replace").splitlines()[-_LOG_LINES:]) if log.exists() else ()
