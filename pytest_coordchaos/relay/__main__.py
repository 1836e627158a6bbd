"""The relay's process: `python -m pytest_coordchaos.relay`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_coordchaos.relay.control import Control
from pytest_coordchaos.relay.http import HttpProtocol
from pytest_coordchaos.relay.server import Relay
from pytest_coordchaos.relay.store import DEFAULT_MAX_MESSAGES
from pytest_coordchaos.relay.wire import is_loopback


def main(argv: list[str] | None = None) -> int:
    """Run a relay until SIGTERM or SIGINT."""
    options = _parse(argv)
    _allow_many_files()
    sys.setswitchinterval(0.001)  # the thread that reads the socket table must not hold up traffic
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    relay = Relay(seed=f"{options.seed}:{os.getpid()}", max_messages=options.max_messages)
    control = Control(relay)
    server = await loop.create_server(lambda: HttpProtocol(control.handle), options.control_host, options.control_port)
    _announce(options.announce, server.sockets[0].getsockname()[:2])
    gc.collect()
    gc.freeze()  # what is loaded now lives for ever
    gc.set_threshold(50_000, 20, 50)
    try:
        await stopped.wait()
    finally:
        server.close()
        await relay.close()


def _announce(path: Path | None, address: tuple[str, int]) -> None:
    line = f"{address[0]} {address[1]}\n"
    if path is None:
        print(line, end="", flush=True)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(line)
    fresh.replace(path)


def _allow_many_files() -> None:
    """A black hole keeps connections that nobody will close; the soft limit is often as low as 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pytest_coordchaos.relay", description=__doc__)
    parser.add_argument("--control-host", default="127.0.0.1", help="loopback address of the control API")
    parser.add_argument("--control-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--announce", type=Path, help="file that gets 'host port' once the API listens; default: stdout")
    parser.add_argument("--seed", default="0", help="seed of the choice of ports")
    parser.add_argument("--max-messages", type=int, default=DEFAULT_MAX_MESSAGES, help="messages the ledger keeps")
    options = parser.parse_args(argv)
    if not is_loopback(options.control_host):
        parser.error(f"--control-host {options.control_host} is not a loopback address; allowed: 127.x.y.z and ::1")
    return options


if __name__ == "__main__":
    sys.exit(main())
