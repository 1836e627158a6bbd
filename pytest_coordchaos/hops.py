"""What carries a cluster's links: the relay alone, or the relay with Toxiproxy behind it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_coordchaos.errors import CapabilityError, StartError
from pytest_coordchaos.relay.control_client import RelayControl
from pytest_coordchaos.relay.link_control import LinkControl
from pytest_coordchaos.runtimes.base import Address, Runtime

if TYPE_CHECKING:
    from pytest_coordchaos.relay.toxiproxy.source import Source
    from pytest_coordchaos.runtimes.docker_relay import RelayContainer
    from pytest_coordchaos.runtimes.docker_session import Docker

__all__ = ["second_hop", "start_hops"]

_RELAY_START_S = 15.0


def second_hop(proxy: str, toxiproxy: str) -> Source | None:
    """Where the second hop comes from; None: there is none.

    Args:
        proxy: "relay" or "toxiproxy".
        toxiproxy: Where the server is, as the option says it.

    Raises:
        UsageError: Toxiproxy is asked for and not there.
    """
    if proxy != "toxiproxy":
        return None
    from pytest_coordchaos.relay.toxiproxy.source import resolve_source

    return resolve_source(toxiproxy)


async def start_hops(
    runtime: Runtime,
    root: Path,
    seed: int,
    links: int,
    second: Source | None,
    docker: Callable[[], Awaitable[Docker]],
    container: RelayContainer | None = None,
) -> LinkControl:
    """Start the relay, and a second hop behind it where one is asked for, with room for so many links.

    Args:
        docker: Gives the container engine, should the second hop be an image.
        container: The relay that is to be started, where it is a container.

    Raises:
        CapabilityError: A second hop is asked for, and the relay is a container.
        StartError: One of them did not start.
    """
    if container is not None:
        if second is not None:
            raise CapabilityError("A relay in a container (--coordchaos-relay) takes no Toxiproxy behind it: use proxy 'relay'")
        seat = await container.start(seed)
        return await RelayControl.connect(seat.address, token=seat.token, published=seat.published)
    if second is None:
        return await RelayControl.connect(await _start_relay(runtime, root, seed))
    # requests and all it brings: only who asks for Toxiproxy pays for it
    from pytest_coordchaos.relay.toxiproxy.container import start_container
    from pytest_coordchaos.relay.toxiproxy.links import ToxiproxyLinks
    from pytest_coordchaos.relay.toxiproxy.server import start_server

    starting = start_container(second, docker, root, links) if second.image else start_server(second, runtime, root, links)
    address, server = await asyncio.gather(_start_relay(runtime, root, seed), starting)
    return ToxiproxyLinks(await RelayControl.connect(address), server)


async def _start_relay(runtime: Runtime, root: Path, seed: int) -> Address:
    """Start the cluster's relay and wait until it says where its control API listens."""
    announce, log = root / "relay.address", root / "relay.log"
    argv = [sys.executable, "-m", "pytest_coordchaos.relay", "--control-host", "127.0.0.1", "--control-port", "0"]
    argv += ["--announce", str(announce), "--seed", str(seed)]
    await runtime.spawn_helper("relay", argv, log=log, pass_env={"PYTHONPATH": str(Path(__file__).parent.parent)})
    deadline = asyncio.get_running_loop().time() + _RELAY_START_S
    while not announce.exists():
        if asyncio.get_running_loop().time() > deadline:
            tail = tuple(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ()
            raise StartError(f"The relay did not start within {_RELAY_START_S:g} s", tail)
        await asyncio.sleep(0.002)
    host, number = announce.read_text().split()
    return host, int(number)
