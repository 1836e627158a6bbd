"""`coordchaos relay`: the relay by itself, with toxiproxy-server's API and flags."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PARSER", "add_arguments", "run"]

PARSER: Mapping[str, object] = {
    "description": "The relay by itself: a drop-in for toxiproxy-server 2.12. It runs until SIGINT or SIGTERM. "
    "LOG_LEVEL in the environment sets what is logged: trace, debug, info (default), warn, error, disabled.",
    "allow_abbrev": False,
}
"""What the parser of this command is made with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of toxiproxy-server, with one dash or two."""
    parser.add_argument("-host", "--host", default="localhost", help="host the API listens on (%(default)s)")
    parser.add_argument("-port", "--port", default="8474", help="port the API listens on (%(default)s; 0: any)")
    parser.add_argument("-config", "--config", type=Path, help="JSON file of proxies to make at the start")
    parser.add_argument("-seed", "--seed", type=int, help="seed of all that toxics draw (default: the time)")
    for name, what in (("proxy-metrics", "of proxies"), ("runtime-metrics", "of the process")):
        parser.add_argument(
            f"-{name}", f"--{name}", nargs="?", const=True, default=False, type=_switch, metavar="BOOL", help=f"/metrics {what}"
        )
    parser.add_argument("-version", "--version", action="store_true", help="print the version and exit")


def run(arguments: argparse.Namespace) -> int:
    """Run the relay; returns its exit code."""
    from pytest_coordchaos.relay.api.routes import TOXIPROXY_VERSION
    from pytest_coordchaos.relay.standalone import Options
    from pytest_coordchaos.relay.standalone import run as run_relay

    if arguments.version:
        print(f"coordchaos relay, Toxiproxy API version {TOXIPROXY_VERSION}")
        return 0
    metrics = {"proxy": arguments.proxy_metrics, "runtime": arguments.runtime_metrics}
    options = Options(
        host=arguments.host,
        port=arguments.port,
        config=arguments.config,
        seed=time.time_ns() if arguments.seed is None else arguments.seed,
        metrics=frozenset(kind for kind, wanted in metrics.items() if wanted),
        log_level=os.environ.get("LOG_LEVEL", ""),
    )
    return run_relay(options)


def _switch(word: str) -> bool:
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is not a bool; allowed: true, false")
