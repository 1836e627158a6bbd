"""Waiting for a test's own condition, on the cluster's clock: in a simulation virtual time goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.errors import FaultError
from pytest_coordchaos.portal import Portal

__all__ = ["wait_until"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


def wait_until(condition: Callable[[], object], clock: Clock, portal: Portal, timeout_s: float, what: str) -> None:
    """Ask until the condition returns something true; OSError in it means not yet.

    Raises:
        FaultError: It did not within `timeout_s`.
    """
    deadline_ns, pause_s, last = clock.now_ns() + int(timeout_s * 1e9), 0.002, ""
    while True:
        try:
            if condition():
                return
        except OSError as error:
            last = f"; last error: {error}"
        if clock.now_ns() > deadline_ns:
            raise FaultError(f"wait_until: {what} did not become true within {timeout_s:g} s{last}")
        portal.call(clock.sleep(pause_s))
        pause_s = min(pause_s * 2, 0.05)
