"""The end of a world. Nodes were killed, not ended: their coroutines still wait, and dropping those runs their clean-up.

That clean-up must find nothing that works and must not be seen: the loop is over, what is printed goes nowhere, what is
raised is dropped. Coroutines are closed in the order in which their tasks were made, so that no address decides.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.clock import NodeClock
from pytest_coordchaos.runtimes.sim.files import FileTree
from pytest_coordchaos.runtimes.sim.loop import SimLoop
from pytest_coordchaos.runtimes.sim.node import SimNode

__all__ = ["bury"]


def bury(loop: SimLoop) -> None:
    """Close the loop and everything that waits on it. Idempotent."""
    if loop.is_closed():
        return
    tasks = sorted(asyncio.all_tasks(loop), key=hash)
    loop.close()
    loop.network.silence()
    with _unseen(loop):
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own gather does the same
            _close(task.get_coro())
        tasks.clear()
        for node in loop.network.lives:
            node.parked.clear()
            node.kept.clear()
        gc.collect()


def _close(coroutine: Any) -> None:
    try:
        coroutine.close()
    except BaseException:  # what its clean-up ran into: it is over
        pass


@contextmanager
def _unseen(loop: SimLoop) -> Iterator[None]:
    hook, hooks = sys.unraisablehook, sys.get_asyncgen_hooks()
    sys.unraisablehook = lambda unraisable: None
    sys.set_asyncgen_hooks(finalizer=lambda generator: None)
    active.enter(loop)
    loop.node = SimNode("nobody", 0, 0, NodeClock())
    loop.node.files = FileTree(None)
    asyncio._set_running_loop(loop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        active.leave()
        loop.node = None
        asyncio._set_running_loop(None)
        sys.unraisablehook = hook
        sys.set_asyncgen_hooks(*hooks)
