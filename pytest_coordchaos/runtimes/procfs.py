"""What Linux tells about processes under /proc, and nothing else.

Standard library only, and only the cheap part of it: the watchdog imports this and must start fast
(`dataclasses`, `typing` and `pathlib` would double its start-up time).
"""

from __future__ import annotations

import os
import time

__all__ = ["ProcessStat", "all_stats", "descendants", "is_stopped", "read_stat", "tree_cpu_seconds"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, see clock_getcpuclockid(3)


class ProcessStat:
    """The fields of /proc/<pid>/stat that we use (proc_pid_stat(5)).

    Attributes:
        pid, ppid, group, session: Its ids.
        state: One letter: R, S, D, T (stopped), t (traced), Z (zombie), X (dead) …
        waited_cpu_s: User plus system seconds of children it has waited for.
        start_ticks: Start time in clock ticks since boot; with the pid, it names a process for ever.
    """

    __slots__ = ("group", "pid", "ppid", "session", "start_ticks", "state", "waited_cpu_s")

    def __init__(self, text: str) -> None:
        head, _, tail = text.rpartition(")")  # the command's name may hold spaces and parentheses
        fields = tail.split()
        self.pid = int(head.split(" ", 1)[0])
        self.state = fields[0]
        self.ppid, self.group, self.session = int(fields[1]), int(fields[2]), int(fields[3])
        self.waited_cpu_s = (int(fields[13]) + int(fields[14])) / _TICKS_PER_S
        self.start_ticks = int(fields[19])


def read_stat(pid: int) -> ProcessStat | None:
    """The state of a process; None when there is no such process (any more)."""
    return _read(f"/proc/{pid}/stat")


def all_stats() -> list[ProcessStat]:
    """Every process that can be seen. Not a snapshot: processes come and go while it is read."""
    stats = (read_stat(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [stat for stat in stats if stat is not None]


def descendants(root: int) -> list[ProcessStat]:
    """All living or zombie descendants of a process, parents before children, itself left out."""
    children: dict[int, list[ProcessStat]] = {}
    for stat in all_stats():
        children.setdefault(stat.ppid, []).append(stat)
    found, front = [], [root]
    while front:
        young = children.pop(front.pop(), [])
        found += young
        front += [stat.pid for stat in young]
    return found


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped (T), or it is not running at all any more."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    return all(_thread_state(pid, thread) in "TtZX" for thread in threads)


def tree_cpu_seconds(keeper: int) -> float:
    """CPU seconds of all that a keeper has started so far, without the keeper itself.

    Living processes are read from their CPU clock (nanoseconds, threads that have ended included),
    those already waited for from their parents' counters (clock ticks).
    """
    own = read_stat(keeper)
    total = own.waited_cpu_s if own else 0.0
    for stat in descendants(keeper):
        total += stat.waited_cpu_s
        try:
            total += time.clock_gettime((~stat.pid << 3) | _CPU_CLOCK_OF_PROCESS)
        except OSError:
            continue  # it has ended between the two readings
    return total


def _thread_state(pid: int, thread: str) -> str:
    stat = _read(f"/proc/{pid}/task/{thread}/stat")
    return stat.state if stat else "X"


def _read(path: str) -> ProcessStat | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return ProcessStat(file.read())
    except (OSError, ValueError, IndexError):
        return None
