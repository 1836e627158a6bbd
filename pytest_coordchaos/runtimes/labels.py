"""Whose process is this? Every process of ours carries its owner in its environment from its birth.

The owner is a pytest process, named so that it can never be confused with another one: host, boot,
PID namespace, pid and start time. What a dead owner left behind (its watchdog was killed too) is
ended by the next session of the same user; a live owner's processes, and those of a PID namespace
whose pids mean nothing here, are never touched. Neither is an owner touched whose watchdog still
lives: it is at work, and only it knows the daemons that carry no label any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_coordchaos.runtimes import procfs

__all__ = ["OWNER", "ROLE", "RUN", "WATCHDOG", "is_dead", "labels", "owner_of_this_process", "sweep"]

RUN, OWNER, ROLE = "COORDCHAOS_RUN", "COORDCHAOS_OWNER", "COORDCHAOS_ROLE"
WATCHDOG = "watchdog"
"""The role that a watchdog and its keepers carry."""

_SWEEP_S = 2.0


def owner_of_this_process() -> str:
    """`hostname:boot id:pid namespace:pid:start time` of the calling process."""
    return f"{_place()}:{os.getpid()}:{_start_ticks(os.getpid())}"


def labels(run_id: str) -> dict[str, str]:
    """The environment that everything started for a run carries."""
    return {RUN: run_id, OWNER: owner_of_this_process()}


def is_dead(owner: str) -> bool:
    """Whether an owner is known to have ended. False also where that cannot be known from here."""
    place, _, process = owner.rpartition(":")[0].rpartition(":")
    start = owner.rpartition(":")[2]
    if place != _place() or not process.isdigit():
        return False
    return _start_ticks(int(process)) != start


def sweep() -> list[int]:
    """SIGKILL every process of ours whose owner is dead, with its process group; returns their pids."""
    ended: list[int] = []
    deadline = time.monotonic() + _SWEEP_S
    while (orphans := _orphans()) and time.monotonic() < deadline:
        for pid in orphans:
            _kill_group(pid)
        ended += [pid for pid in orphans if pid not in ended]
        time.sleep(0.002)
    return ended


def _orphans() -> list[int]:
    """Living processes of dead owners that no watchdog cares for any more."""
    found = [(pid, owner, role) for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) for owner, role in _labels_of(pid)]
    tended = {owner for _, owner, role in found if role == WATCHDOG}
    return [pid for pid, owner, _ in found if owner not in tended and is_dead(owner) and _start_ticks(pid) is not None]


def _kill_group(pid: int) -> None:
    stat = procfs.read_stat(pid)
    if stat is not None and stat.group != os.getpgrp():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(stat.group, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _labels_of(pid: int) -> Iterator[tuple[str, str]]:
    """(owner, role) of a process of ours; nothing for strangers and for processes of other users."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return
    entries = dict(entry.partition("=")[::2] for entry in os.fsdecode(environment).split("\0"))
    if OWNER in entries:
        yield entries[OWNER], entries.get(ROLE, "")


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}:{boot}:{os.stat('/proc/self/ns/pid').st_ino}"


def _start_ticks(pid: int) -> str | None:
    """Start time of a living process (a zombie is dead)."""
    stat = procfs.read_stat(pid)
    return None if stat is None or stat.state in "ZX" else str(stat.start_ticks)
