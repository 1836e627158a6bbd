"""Calls a client's functions: coroutine functions on the loop, plain ones on a thread of their own.

One thread per connection, not a pool: blocking drivers often insist on being used by the thread that
opened them, a call that never returns must not take another client's thread, and a daemon thread
does not keep pytest from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Caller"]

Job = Callable[[], None]


class Caller:
    """Calls functions one after the other for one connection. The thread starts when first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] | None = None

    async def call(self, function: Callable[..., Any | Awaitable[Any]], *args: object) -> Any:
        """The function's result. Cancelling this call leaves a plain function running on its thread."""
        if _is_async(function):
            return await function(*args)
        result = await self._on_thread(function, args)
        return await result if inspect.isawaitable(result) else result

    def release(self) -> None:
        """Let the thread end once its current call has returned."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _on_thread(self, function: Callable[..., Any], args: tuple[object, ...]) -> asyncio.Future[Any]:
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            try:
                result, error = context.run(function, *args), None
            except BaseException as raised:  # handed to the caller, whatever it is
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_settle, answer, result, error)
            except RuntimeError:
                pass  # the loop has closed: nobody is waiting any more

        self._jobs.put(job)
        return answer


def _work(jobs: queue.SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


def _settle(answer: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if answer.done():  # given up meanwhile
        if inspect.iscoroutine(result):
            result.close()
        return
    if isinstance(error, StopIteration):  # a future refuses it
        error = RuntimeError(f"the client raised StopIteration: {error}")
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - objects with async __call__
