"""What every relay process does, embedded or alone: its loop, its limits, and the signals that end it."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from collections.abc import Callable, Coroutine

__all__ = ["run_loop", "settle_memory", "stop_signal"]


def run_loop(main: Coroutine[object, object, None]) -> None:
    """Run it to its end, in uvloop's loop where there is one, with as many files as the system allows."""
    _allow_many_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def stop_signal() -> asyncio.Event:
    """Set once SIGTERM or SIGINT came."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def settle_memory() -> None:
    """What is loaded now lives for ever: the collector need not look at it again, and not often at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


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
