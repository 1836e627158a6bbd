"""The parts of asyncio's loop that a simulation answers without doing anything, and what becomes of stray errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim.node import SimNode

__all__ = ["Quiet"]


class Quiet(asyncio.AbstractEventLoop):
    """The base of the kernel.

    Attributes:
        node: The node whose callback runs; None: the experiment.
        errors: What failed outside of nodes where nobody listened.
    """

    def __init__(self) -> None:
        self.node: SimNode | None = None
        self.errors: list[str] = []
        self._running = self._over = False
        self._on_error: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """asyncio: something failed where nobody listens. It is written to the node's output."""
        if self._over:
            return
        if self._on_error is not None:
            self._on_error(self, context)
            return
        error = context.get("exception")
        text = f"{context.get('message')}: {type(error).__name__}: {error}" if error else str(context.get("message"))
        (self.errors if self.node is None else self.node.output).append(text + "\n")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """asyncio: what happens without a handler."""
        handler, self._on_error = self._on_error, None
        self.call_exception_handler(context)
        self._on_error = handler

    def set_exception_handler(self, handler: Any) -> None:
        """asyncio: told of what failed where nobody listens."""
        self._on_error = handler

    def get_exception_handler(self) -> Any:
        """asyncio: the handler; None: as usual."""
        return self._on_error

    def get_debug(self) -> bool:
        """asyncio: never in debug mode, whatever the environment says."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """asyncio: without effect."""

    def is_running(self) -> bool:
        """asyncio: whether it runs now."""
        return self._running

    def is_closed(self) -> bool:
        """asyncio: whether the simulation is over."""
        return self._over

    def run_forever(self) -> None:
        """Refused: a world runs until something is done."""
        raise CapabilityError("loop.run_forever() is not simulated: a program runs no loop of its own; give its coroutine")

    def stop(self) -> None:
        """asyncio: nodes cannot stop the world; they end by returning."""

    async def shutdown_asyncgens(self) -> None:
        """asyncio: without effect."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """asyncio: without effect."""
