"""The relay's process: `python -m pytest_coordchaos.relay`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from pytest_coordchaos.relay.api.routes import ALL_METRICS, ToxiproxyApi
from pytest_coordchaos.relay.control import Control
from pytest_coordchaos.relay.http import Handler, HttpProtocol, Request, Response
from pytest_coordchaos.relay.proxies import Proxies
from pytest_coordchaos.relay.running import run_loop, settle_memory, stop_signal
from pytest_coordchaos.relay.server import Relay
from pytest_coordchaos.relay.store import DEFAULT_MAX_MESSAGES
from pytest_coordchaos.relay.tunnel import guarded, tunnels
from pytest_coordchaos.relay.wire import is_loopback

TOKEN_VARIABLE = "COORDCHAOS_RELAY_TOKEN"


def main(argv: list[str] | None = None) -> int:
    """Run a relay until SIGTERM or SIGINT."""
    options = _parse(argv)
    sys.setswitchinterval(0.001)  # the thread that reads the socket table must not hold up traffic
    run_loop(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    loop, stopped = asyncio.get_running_loop(), stop_signal()
    relay = Relay(seed=f"{options.seed}:{os.getpid()}", max_messages=options.max_messages, toxic_seed=options.seed)
    proxies = Proxies(relay.proxied, seed=options.seed, loopback_only=True)
    token = os.environ.get(TOKEN_VARIABLE, "")
    handler = _both(Control(relay, loopback_only=not token), ToxiproxyApi(proxies, metrics=ALL_METRICS))
    if token:
        handler = guarded(tunnels(relay.doors, handler), token)
    server = await loop.create_server(lambda: HttpProtocol(handler), options.control_host, options.control_port)
    _announce(options.announce, server.sockets[0].getsockname()[:2])
    settle_memory()
    try:
        await stopped.wait()
    finally:
        server.close()
        proxies.close()
        await relay.close()


def _both(control: Control, api: ToxiproxyApi) -> Handler:
    async def handle(request: Request) -> Response:
        own = request.path.startswith("/coordchaos/")
        return await (control.handle(request) if own else api.handle(request))

    return handle


def _announce(path: Path | None, address: tuple[str, int]) -> None:
    line = f"{address[0]} {address[1]}\n"
    if path is None:
        print(line, end="", flush=True)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(line)
    fresh.replace(path)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pytest_coordchaos.relay", description=__doc__)
    parser.add_argument(
        "--control-host", default="127.0.0.1", help="address of the control API; without a token, of this machine's loopback"
    )
    parser.add_argument("--control-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--announce", type=Path, help="file that gets 'host port' once the API listens; default: stdout")
    parser.add_argument("--seed", default="0", help="seed of the choice of ports and of what toxics draw")
    parser.add_argument("--max-messages", type=int, default=DEFAULT_MAX_MESSAGES, help="messages the ledger keeps")
    options = parser.parse_args(argv)
    if not is_loopback(options.control_host) and not os.environ.get(TOKEN_VARIABLE):
        parser.error(
            f"--control-host {options.control_host} is not a loopback address; allowed: 127.x.y.z and ::1, "
            f"or any with a token in {TOKEN_VARIABLE}"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
