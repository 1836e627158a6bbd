"""The Toxiproxy server of a cluster: one of its own, started beside the nodes, or a share of one that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.relay.sockets_table import listener_pid
from pytest_coordchaos.relay.toxiproxy import errors
from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from pytest_coordchaos.relay.toxiproxy.model import safe_name
from pytest_coordchaos.relay.toxiproxy.names import run_prefix, stale
from pytest_coordchaos.relay.toxiproxy.source import Source, version_note
from pytest_coordchaos.relay.wire import Address
from pytest_coordchaos.runtimes.base import Runtime

__all__ = ["ToxiproxyServer", "start_server"]

_START_S, _REACH_S = 15.0, 2.0
_HELPER = "toxiproxy"
_LOG_LINES = 20


@dataclass(slots=True, eq=False, kw_only=True)
class ToxiproxyServer:
    """A server that answers. Made by `start_server`.

    Attributes:
        client: Drives it.
        version: As it calls itself.
        words: Where it is, for people.
        prefix: What the names of our proxies begin with; "" on a server of our own.
        ports: Where our proxies may listen, one each; (): the server chooses.
        metrics: It counts bytes.
        notes: What a reader of a report should know.
        start_again: Ends and starts it; None: it is not ours to start.
        end: Ends it where the runtime would not.
    """

    client: ToxiproxyClient
    version: str
    words: str
    prefix: str = ""
    ports: Sequence[Address] = ()
    metrics: bool = False
    notes: list[str] = field(default_factory=list)
    start_again: Callable[[], Awaitable[None]] | None = None
    end: Callable[[], Awaitable[None]] | None = None

    def name(self, *parts: str) -> str:
        """A proxy's name on this server."""
        return self.prefix + safe_name(*parts)


async def start_server(source: Source, runtime: Runtime, root: Path, proxies: int) -> ToxiproxyServer:
    """A server with room for so many proxies.

    Raises:
        UsageError: Its version is too old.
        StartError: It did not start, or nobody answers at its address.
    """
    if source.address is not None:
        return await _reach(source, source.address)
    return await _start(source, runtime, root, proxies)


async def _start(source: Source, runtime: Runtime, root: Path, proxies: int) -> ToxiproxyServer:
    """Ports below the ephemeral range, so that a proxy that was disabled finds its own free again."""
    api, *ports = await runtime.reserve(1 + proxies)
    argv = [source.binary, "-host", api[0], "-port", str(api[1]), "-proxy-metrics"]
    log = root / "toxiproxy.log"
    client = ToxiproxyClient(api)

    async def spawn() -> str:
        await runtime.spawn_helper(_HELPER, argv, log=log, pass_env={"LOG_LEVEL": "error"}, lends=[api, *ports])
        try:
            return await asyncio.to_thread(client.wait_started, _START_S, lambda: _has_ended(runtime))
        except errors.ToxiproxyError as error:
            tail = tuple(log.read_text(errors="replace").splitlines()[-_LOG_LINES:]) if log.exists() else ()
            raise StartError(f"Toxiproxy ({source.binary}) did not start: {error}", tail) from None

    async def start_again() -> None:
        await runtime.kill(f"helper:{_HELPER}")
        await spawn()

    version = await spawn()
    note = version_note(version, source.binary)
    return ToxiproxyServer(
        client=client,
        version=version,
        words=source.binary,
        ports=ports,
        metrics=True,
        notes=[note] if note else [],
        start_again=start_again,
    )


async def _reach(source: Source, address: Address) -> ToxiproxyServer:
    """A share of somebody's server: our proxies only, and those that dead runs of this machine left on it go."""
    client = ToxiproxyClient(address)
    try:
        version = await asyncio.to_thread(client.wait_started, _REACH_S)
    except errors.ToxiproxyError as error:
        raise StartError(f"No Toxiproxy answers at {address[0]}:{address[1]}: {error}") from None
    notes = [note] if (note := version_note(version, source.words)) else []
    notes += await asyncio.to_thread(_sweep, client)
    if not await asyncio.to_thread(listener_pid, address):
        notes.append("Toxiproxy's process is not to be seen from here: its connections to nodes cannot be told from a bypass")
    return ToxiproxyServer(
        client=client,
        version=version,
        words=source.words,
        prefix=run_prefix(),
        metrics=await asyncio.to_thread(_has_metrics, client),
        notes=notes,
    )


def _sweep(client: ToxiproxyClient) -> list[str]:
    try:
        for name in stale(client.proxies()):
            client.delete(name)
    except errors.ToxiproxyError as error:
        return [f"proxies that earlier runs left on Toxiproxy were not removed: {error}"]
    return []


def _has_metrics(client: ToxiproxyClient) -> bool:
    try:
        client.metrics()
    except errors.ToxiproxyError:
        return False
    return True


def _has_ended(runtime: Runtime) -> bool:
    return runtime.exit_status(f"helper:{_HELPER}") is not None
