"""One event loop in one thread per session: where synchronous tests meet the asynchronous core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from pytest_coordchaos.errors import CoordChaosError, UsageError

__all__ = ["Portal"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours

T = TypeVar("T")

_CANCEL_GRACE_S = 10.0


class Portal:
    """Runs coroutines on its own loop for callers of any thread or loop. Starts its thread on first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def ours(self) -> bool:
        """False in a process forked from the one that made the portal: its thread is not there."""
        return os.getpid() == self._pid

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the portal's loop.

        Raises:
            UsageError: In a forked child, or on the portal's own thread (it would wait for itself).
        """
        if not self.ours or threading.current_thread() is self._thread:
            coroutine.close()
            where = "a forked child" if not self.ours else "a coroutine of the experiment"
            raise UsageError(f"A cluster's verbs cannot be called from {where}; call them from the test that started the cluster")
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result. An interrupt cancels it and waits for its clean-up."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except CoordChaosError as error:
            raise error.with_traceback(None)  # noqa: B904  # the sentence says it all; where we noticed helps nobody
        except BaseException:
            if not future.done():
                future.cancel()
                self._drain(future)
            raise

    async def call_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop from a caller's own loop, asyncio or trio."""
        future = self.submit(coroutine)
        if _running_under_trio():
            import trio

            return await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Stop the loop and its thread. Idempotent; does nothing in a forked child."""
        if not self.ours or self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        with contextlib.suppress(Exception):  # the loop goes away whatever a task still had to say
            asyncio.run_coroutine_threadsafe(_wind_down(), loop).result(_CANCEL_GRACE_S)
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CANCEL_GRACE_S)
        if not thread.is_alive():
            loop.close()

    def _drain(self, future: Future[Any]) -> None:
        """Wait until a cancelled coroutine has run its `finally` blocks."""
        loop = self._loop
        if loop is None:
            return
        settled = asyncio.run_coroutine_threadsafe(_others_settled(), loop)
        try:
            settled.result(_CANCEL_GRACE_S)
        except Exception:
            settled.cancel()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="coordchaos-portal", daemon=True)
                self._thread.start()
            return self._loop


async def _others_settled() -> None:
    """Return once every task that is being cancelled on this loop has ended."""
    me = asyncio.current_task()
    cancelled = [task for task in asyncio.all_tasks() if task is not me and task.cancelling()]
    if cancelled:
        await asyncio.wait(cancelled)


async def _wind_down() -> None:
    """Cancel what is left, and let transports that were closed say so."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not me]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
    await asyncio.sleep(0)


def _running_under_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
