"""The watchdog's view of what it started: one tree per node, and how to end processes. Standard library only."""

from __future__ import annotations

import json
import os
import signal

from pytest_coordchaos.runtimes import procfs
from pytest_coordchaos.runtimes.keeper import fork_keeper

__all__ = ["Tree", "end_everything", "end_strangers"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_coordchaos.runtimes.orders import Order


class Tree:
    """One started process tree: its keeper, what the keeper reported, and who waits for its end.

    Attributes:
        reports: Descriptor to wait on; then call `hear`.
        pid: The first process, once its exec has succeeded.
        error: Why it could not be started.
        status: Exit status of the first process (negative: the signal), once it has ended.
        cpu_s: CPU seconds of the whole tree, once it is gone.
        when_gone: Called in order when no process is left.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.keeper, self.reports = fork_keeper(order)
        self.pid: int | None = None
        self.error: str | None = None
        self.status: int | None = None
        self.cpu_s = 0.0
        self.when_gone: list[Callable[[], None]] = []
        self._buffer = b""

    @property
    def alive(self) -> bool:
        """Whether its first process has been started and has not ended."""
        return self.pid is not None and self.status is None

    def hear(self) -> bool:
        """Take the keeper's reports; False at their end: then nothing of the tree is left."""
        data = os.read(self.reports, 65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            for field, value in json.loads(line).items():
                setattr(self, field, value)
        return bool(data)

    def close(self) -> bool:
        """Take the ended keeper; False where it was ended by force and may have left something behind."""
        os.close(self.reports)
        if self.status is None:
            self.status = -signal.SIGKILL  # the kernel's doing (PR_SET_PDEATHSIG), and nobody saw it
        return os.waitpid(self.keeper, 0)[1] == 0

    def kill(self) -> None:
        """SIGKILL the group at once; the keeper does the rest of the tree and reports when it is gone."""
        if self.alive and self.pid is not None:
            _send(-self.pid, signal.SIGKILL)
        else:
            self.signal(signal.SIGKILL)
        _send(self.keeper, signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Signal every process of the tree."""
        for stat in procfs.descendants(self.keeper):
            _send(stat.pid, number)

    def stop(self) -> bool:
        """SIGSTOP every process that is not stopped yet; True when there is none."""
        for _ in range(2):  # the second look sees what was forked while the first one was taken
            moving = [stat.pid for stat in procfs.descendants(self.keeper) if not procfs.is_stopped(stat.pid)]
            for pid in moving:
                _send(pid, signal.SIGSTOP)
            if moving:
                return False
        return True

    def cpu_seconds(self) -> float:
        """CPU seconds of the tree so far."""
        return procfs.tree_cpu_seconds(self.keeper)


def end_strangers(keepers: set[int]) -> None:
    """End children of this process that are no keepers: what keepers left that were ended by force."""
    while strangers := [stat.pid for stat in procfs.descendants(os.getpid()) if _is_stranger(stat, keepers)]:
        for pid in strangers:
            _send(pid, signal.SIGKILL)
        for pid in strangers:
            os.waitpid(pid, 0)


def end_everything(keepers: set[int]) -> None:
    """End all processes below this one until none is left; keepers end when their trees are gone."""
    while _reap_all():
        for stat in procfs.descendants(os.getpid()):
            _send(stat.pid, signal.SIGTERM if stat.pid in keepers else signal.SIGKILL)
        signal.sigtimedwait([signal.SIGCHLD], 0.002)


def _is_stranger(stat: procfs.ProcessStat, keepers: set[int]) -> bool:
    return stat.ppid == os.getpid() and stat.pid not in keepers


def _reap_all() -> bool:
    """Take every child that has ended; False when there are no children any more."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
