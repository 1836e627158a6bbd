"""What the kernel runs: a callback, its context, and the event it goes back to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

__all__ = ["SimHandle", "label"]


class SimHandle(asyncio.TimerHandle):
    """A callback that will run once, unless it is cancelled.

    Attributes:
        cause: Number of the message (or sync) that set off what made this handle; 0: none. Chains of causes are the
            critical path.
    """

    __slots__ = ("cause",)
    _callback: Callable[..., object] | None
    _args: Any
    _context: Context
    _when: float

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, cause: int) -> None:
        # Not asyncio's own initializer: it asks the loop for its debug mode, and this runs for every step.
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._when = 0.0
        self.cause = cause

    def cancel(self) -> None:
        """It will not run. Idempotent."""
        self._callback = self._args = None

    def cancelled(self) -> bool:
        """Whether it was."""
        return self._callback is None

    def __repr__(self) -> str:
        return f"<SimHandle {'cancelled' if self._callback is None else label(self._callback)}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def label(callback: object) -> str:
    """A name that is the same in every process: never an address."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", "task")
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__
