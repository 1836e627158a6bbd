"""The relay by itself, as a drop-in for toxiproxy-server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pytest_coordchaos.relay.api.bodies import read_populate
from pytest_coordchaos.relay.api.errors import ApiError
from pytest_coordchaos.relay.api.routes import TOXIPROXY_VERSION, ToxiproxyApi
from pytest_coordchaos.relay.http import Handler, HttpProtocol, Request, Response
from pytest_coordchaos.relay.listen_address import AddressError, listen_on, shown
from pytest_coordchaos.relay.log import Log
from pytest_coordchaos.relay.proxies import Proxies
from pytest_coordchaos.relay.proxy_spec import ProxySpec
from pytest_coordchaos.relay.running import run_loop, settle_memory, stop_signal

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run it.

    Args:
        host, port: Where the API listens.
        config: File of proxies to make at the start; None: none.
        seed: Seed of all that toxics draw.
        metrics: Kinds shown at `/metrics`; none: there is no such page.
        log_level: One of `log.LEVELS`; "": everything but debugging.
    """

    host: str = "localhost"
    port: str = "8474"
    config: Path | None = None
    seed: int = 0
    metrics: frozenset[str] = frozenset()
    log_level: str = ""


def run(options: Options) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (1: the API's address cannot be listened on)."""
    log = Log(options.log_level or "info")
    codes: list[int] = []
    run_loop(_serve(options, log, codes))
    return codes[0]


async def _serve(options: Options, log: Log, codes: list[int]) -> None:
    stopped = stop_signal()
    log.write("info", "Starting coordchaos relay", version=TOXIPROXY_VERSION, seed=options.seed)
    proxies = Proxies(lambda: (), seed=str(options.seed), loopback_only=False)
    address = f"[{options.host}]:{options.port}" if ":" in options.host else f"{options.host}:{options.port}"
    try:
        sock = await listen_on(address)
    except AddressError as error:
        log.write("error", "Server finished with error", error=str(error))
        codes.append(1)
        return
    if options.config is not None:
        await _populate(options.config, proxies, log)
    handler = _logged(ToxiproxyApi(proxies, metrics=options.metrics), log)
    server = await asyncio.get_running_loop().create_server(lambda: HttpProtocol(handler), sock=sock)
    log.write("info", "Starting Toxiproxy HTTP server", address=address, listen=shown(sock.getsockname()))
    settle_memory()
    try:
        await stopped.wait()
    finally:
        log.write("info", "Shutdown started")
        server.close()
        proxies.close()
    codes.append(0)


def _read(path: Path) -> list[ProxySpec]:
    return read_populate(path.read_bytes())


async def _populate(path: Path, proxies: Proxies, log: Log) -> None:
    """Make the proxies of a file; what is wrong is logged, and does not stop the relay."""
    made = 0
    try:
        for spec in _read(path):
            await proxies.create_or_replace(spec)
            made += 1
    except OSError as error:
        log.write("error", "Error reading config file", config=str(path), error=error.strerror or str(error))
    except (ApiError, AddressError) as error:
        log.write("error", "Failed to populate proxies from file", config=str(path), error=str(error))
    else:
        log.write("info", "Populated proxies from file", config=str(path), proxies=made)


def _logged(api: ToxiproxyApi, log: Log) -> Handler:
    async def handle(request: Request) -> Response:
        response = await api.handle(request)
        log.write("debug", "", method=request.method, url=request.path, status=response.status, size=len(response.body))
        return response

    return handle
