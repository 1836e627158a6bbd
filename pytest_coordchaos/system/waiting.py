"""Wait until nodes are ready: stop at once when one has died, and say everything when it takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.errors import StartError, UsageError
from pytest_coordchaos.system.readiness import NodeProbe, Ready

__all__ = ["Lives", "log_tail", "wait_each_ready", "wait_ready"]

_FIRST_S, _LONGEST_S = 0.002, 0.05
_CHECK_S = 1.0
_TAIL_LINES = 20
_NOT_YET = (OSError, ValueError, EOFError, LookupError)


class Lives(Protocol):
    """What waiting must know of a runtime."""

    def exit_status(self, node: str) -> int | None:
        """Exit status of the node's last process; None while it lives."""
        ...

    def command(self, node: str) -> str:
        """The node's command, for messages."""
        ...


async def wait_ready(ready: Ready, probes: Sequence[NodeProbe], lives: Lives, clock: Clock, timeout_s: float) -> None:
    """Wait until every node fulfils the condition; all nodes are asked side by side.

    A check that takes longer than a second counts as "not yet". In a check, OSError, ValueError, EOFError and LookupError
    mean "not yet" too; any other exception ends the waiting.

    Args:
        ready: The condition.
        probes: One per node.
        lives: Who knows whether a node has exited.
        clock: Time.
        timeout_s: Seconds for all nodes together.

    Raises:
        StartError: A node has exited, was not ready in time, or its check is broken. Carries the last log lines.
    """
    await wait_each_ready([(ready, probe) for probe in probes], lives, clock, timeout_s)


async def wait_each_ready(wanted: Sequence[tuple[Ready, NodeProbe]], lives: Lives, clock: Clock, timeout_s: float) -> None:
    """`wait_ready` where nodes have conditions of their own."""
    waits = [_Wait(ready=ready, probe=probe, lives=lives, clock=clock, since_ns=clock.now_ns()) for ready, probe in wanted]
    tasks = [asyncio.ensure_future(wait.until(timeout_s)) for wait in waits]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancelled(tasks)


def log_tail(text: str, lines: int = _TAIL_LINES) -> tuple[str, ...]:
    """The last lines of a log, oldest first."""
    return tuple(text.splitlines()[-lines:])


@dataclass(slots=True, kw_only=True)
class _Wait:
    """The waiting for one node."""

    ready: Ready
    probe: NodeProbe
    lives: Lives
    clock: Clock
    since_ns: int
    last_error: str = "the condition does not hold yet"

    async def until(self, timeout_s: float) -> None:
        interval_s = _FIRST_S
        while not await self._checked(timeout_s):
            await self.clock.sleep(interval_s)
            interval_s = min(2 * interval_s, _LONGEST_S)

    async def _checked(self, timeout_s: float) -> bool:
        """One check, watched: it ends early when the node exits or the time is over."""
        check = asyncio.ensure_future(self._ask())
        begun_s, interval_s = self._elapsed_s(), _FIRST_S
        try:
            while True:
                self._stop_when_dead()
                if self._elapsed_s() >= timeout_s:
                    raise self._too_late(timeout_s)
                if await _done_within(check, self.clock.sleep(interval_s)):
                    return check.result()
                if self._elapsed_s() - begun_s >= _CHECK_S:
                    self.last_error = f"no answer within {_CHECK_S:g} s"
                    return False
                interval_s = min(2 * interval_s, _LONGEST_S)
        finally:
            await _cancelled([check])

    async def _ask(self) -> bool:
        try:
            if await self.ready.check(self.probe):
                return True
            self.last_error = "the condition does not hold yet"
        except UsageError:
            raise  # no waiting mends what was said wrong
        except _NOT_YET as error:
            self.last_error = str(error) or type(error).__name__
        except Exception as error:
            raise StartError(f"The check {self.ready.name!r} of node {self.probe.name} is broken: {error!r}") from error
        return False

    def _stop_when_dead(self) -> None:
        status = self.lives.exit_status(self.probe.name)
        if status is not None:
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            raise self._failed(f"exited with {how} after {self._elapsed_s():.2f} s", "")

    def _too_late(self, timeout_s: float) -> StartError:
        return self._failed(f"was not ready within {timeout_s:g} s", f"; last answer: {self.last_error}")

    def _failed(self, what: str, more: str) -> StartError:
        node = self.probe.name
        message = f"Node {node} {what}, waiting for {self.ready.name!r}{more} (command: {self.lives.command(node)})"
        return StartError(message, log_tail(self.probe.read_log()))

    def _elapsed_s(self) -> float:
        return (self.clock.now_ns() - self.since_ns) / 1e9


async def _done_within(check: asyncio.Future[bool], sleep: Awaitable[None]) -> bool:
    """Whether the check is done when the sleep, or the check itself, has ended."""
    timer = asyncio.ensure_future(sleep)
    both: list[asyncio.Future[Any]] = [check, timer]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled([timer])
    return check.done()


async def _cancelled(tasks: Sequence[asyncio.Future[bool] | asyncio.Future[None]]) -> None:
    """Cancel what is still running and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
