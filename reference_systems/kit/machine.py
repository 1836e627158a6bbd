"""What the node's machine is made to be: its clocks and its disk, as ordered in a file beside `node.json`.

A test's runtime writes `machine.json` and sends SIGURG, which nobody else minds; the node reads it, does it, looks at its
own clocks and disk, and writes what it saw to `machine.seen.json`. Without the file the machine is what the host is.
"""

from __future__ import annotations

import asyncio
import errno
import json
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ORDERS", "SEEN", "Machine", "MachineLoop"]

ORDERS, SEEN = "machine.json", "machine.seen.json"

_LOOK_S = 0.05
_TOGETHER_S = 10e-6
_TRIES = 200


class Machine:
    """The clocks and the disk of one node.

    Args:
        directory: The node's own; orders are read there.

    Attributes:
        rate: The node's seconds in one true second.
        sync_s: How much longer a forced write takes.
        full: The disk takes no more.
        power_losses: How often it lost power so far; what was not synced before the last is to be gone.
        lost: Losses that were played: what was not synced is gone.
    """

    def __init__(self, directory: Path) -> None:
        self.rate = 1.0
        self.sync_s = 0.0
        self.full = False
        self.power_losses = self.lost = 0
        self._directory = directory
        self._number = 0
        self._offset_s = self._slip_s = self._since_s = 0.0
        self._base_s = self._local_s = time.monotonic()
        self._looking: asyncio.Task[None] | None = None
        self.read()

    def read(self) -> None:
        """Do what the orders say; unreadable ones are being written, and will be announced."""
        try:
            orders: dict[str, Any] = json.loads((self._directory / ORDERS).read_text())
        except (OSError, ValueError):
            return
        now_s = time.monotonic()
        self._local_s, self._base_s = self._monotonic(now_s), now_s
        self._number = orders["number"]
        self.rate, self._offset_s = orders["rate"], orders["offset_s"]
        self._slip_s, self._since_s = orders["slip_s"], orders["since_s"]
        self.sync_s, self.full = orders["sync_ms"] / 1e3, orders["full"]
        self.power_losses = orders["power_losses"]

    def monotonic(self) -> float:
        """Seconds of the node's own; they never step."""
        return self._monotonic(time.monotonic())

    def _monotonic(self, now_s: float) -> float:
        return self._local_s + (now_s - self._base_s) * self.rate

    def wall(self) -> float:
        """Seconds since 1970, as far off as was ordered, and as it has drifted since."""
        return self._wall(time.time())

    def _wall(self, now_s: float) -> float:
        return now_s + self._offset_s + self._slip_s + (now_s - self._since_s) * (self.rate - 1.0)

    def check_room(self) -> None:
        """OSError when the disk is full."""
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on the disk")

    def forced(self, call: Callable[[], None]) -> None:
        """Do a forced write, as slowly as was ordered. For worker threads."""
        if self.sync_s:
            time.sleep(self.sync_s)
        call()

    # -- telling -----------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on, on the running loop, follow orders as they come; and tell what the first ones made of it."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGURG, self._announced)
        self._announced()

    def _announced(self) -> None:
        self.read()
        if self._number:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        number = self._number
        before = self._readings()
        await asyncio.sleep(_LOOK_S)
        seen = {
            "number": number,
            "readings": [before, self._readings()],
            "sync_ms": self.sync_s * 1e3,
            "full": self._refuses(),
            "lost": self.lost,
        }
        draft = self._directory / f"{SEEN}.new"
        draft.write_text(json.dumps(seen))
        draft.replace(self._directory / SEEN)

    def _readings(self) -> list[float]:
        """True monotonic, own monotonic, true wall and own wall seconds of one moment."""
        best_s, found = float("inf"), list[float]()
        for _ in range(_TRIES):
            true_s, wall_s = time.monotonic(), time.time()
            readings = [true_s, asyncio.get_running_loop().time(), wall_s, self.wall()]
            took_s = time.monotonic() - true_s
            if took_s < best_s:
                best_s, found = took_s, readings
            if best_s < _TOGETHER_S:
                break
        return found

    def _refuses(self) -> bool:
        try:
            self.check_room()
        except OSError:
            return True
        return False


class MachineLoop(asyncio.SelectorEventLoop):
    """An event loop that counts in the node's own seconds: a fast clock fires its timers early, timeouts too."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        super().__init__(_Waiting(machine))

    def time(self) -> float:
        """The node's monotonic clock."""
        return self._machine.monotonic()


class _Waiting(selectors.DefaultSelector):
    """Waits for as long as the node's seconds take in truth."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def select(self, timeout: float | None = None) -> Any:
        """`selectors`: wait."""
        if timeout is not None and timeout > 0:
            timeout /= self._machine.rate
        return super().select(timeout)
