"""A simulation that cannot go on says who waits for what."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.runtimes.sim.clock import START_NS

__all__ = ["Deadlock", "Livelock", "Stuck", "TimeOver", "waiting"]

_MOST = 40


class Stuck(CoordChaosError):
    """The simulation cannot go on."""


class Deadlock(Stuck):
    """No callback is ready and no timer is set: nothing can ever happen again."""

    def __init__(self, now_ns: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_text(f"deadlock at {_at(now_ns)}: nothing is ready, no timer is set", loop))


class TimeOver(Stuck):
    """The virtual time allowed is over."""

    def __init__(self, now_ns: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_text(f"not done by {_at(now_ns)}", loop))


class Livelock(Stuck):
    """Steps follow steps and time does not go on."""

    def __init__(self, now_ns: int, steps: int, ready: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        listed = ", ".join(dict.fromkeys(ready))
        super().__init__(_text(f"livelock at {_at(now_ns)}: {steps} steps in one instant; ready: {listed}", loop))


def waiting(loop: asyncio.AbstractEventLoop) -> list[str]:
    """One line for each task that waits, in the order they were made: its node, its name, and the awaits down to the last."""
    tasks = sorted(asyncio.all_tasks(loop), key=hash)
    return [f"{_owner(task)} {task.get_name()}: {_awaits(task)}" for task in tasks]


def _text(what: str, loop: asyncio.AbstractEventLoop) -> str:
    lines = waiting(loop)
    more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    errors = [f"error: {error.strip()}" for error in getattr(loop, "errors", ())[-3:]]
    return "\n    | ".join([f"{what}; {len(lines)} tasks wait:", *lines[:_MOST], *more, *errors])


def _at(now_ns: int) -> str:
    return f"{(now_ns - START_NS) / 1e9:.6f} s"


def _owner(task: asyncio.Task[Any]) -> str:
    node = getattr(task, "node", None)
    return "-" if node is None else node.name


def _awaits(task: asyncio.Task[Any]) -> str:
    steps: list[str] = []
    waited: Any = task.get_coro()
    while waited is not None:
        frame = _part(waited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            steps.append(f"{frame.f_code.co_qualname} ({PurePath(frame.f_code.co_filename).name}:{frame.f_lineno})")
            waited = _part(waited, "cr_await", "gi_yieldfrom", "ag_await")
        elif isinstance(waited, asyncio.Task):
            steps.append(f"task {waited.get_name()}")
            break
        else:
            waited = _behind(waited)
    return " > ".join(steps) or "starting"


def _part(waited: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(waited, name, None)) is not None), None)


def _behind(waited: Any) -> Any:
    """What a nameless awaitable of the interpreter stands for: a step of an async generator, a future's iterator."""
    found = [
        one for one in gc.get_referents(waited) if isinstance(one, asyncio.Task) or _part(one, "cr_frame", "gi_frame", "ag_frame")
    ]
    return found[0] if found else None
