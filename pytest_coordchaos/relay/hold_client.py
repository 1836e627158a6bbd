"""Asking a relay to wait for a message and to hold it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger

__all__ = ["RelayHold", "hold_at"]

Ask = Callable[..., Awaitable[dict[str, Any]]]


class RelayHold:
    """A message that the relay holds."""

    def __init__(self, ask: Ask, number: int) -> None:
        self._ask = ask
        self._number = number

    async def release(self) -> None:
        """Let it go on. Idempotent."""
        await self._ask("POST", "/coordchaos/release", {"hold": self._number})


async def hold_at(ask: Ask, trigger: MessageTrigger | SyncTrigger, timeout_s: float) -> RelayHold | None:
    """Wait for a message; None: it did not come in time.

    Args:
        ask: Calls the relay.

    Raises:
        RelayError: The relay sees no forced writes.
    """
    if isinstance(trigger, SyncTrigger):
        raise RelayError(f"trigger '{trigger}': a relay sees no forced writes")
    answer = await ask("POST", "/coordchaos/hold", {"trigger": str(trigger), "timeout_s": timeout_s}, extra_s=timeout_s)
    return None if answer["hold"] is None else RelayHold(ask, answer["hold"])
