"""The kernel: an event loop written from scratch, on a virtual clock of whole nanoseconds.

Callbacks run first in, first out, as asyncio promises; when none is ready, time jumps to the next timer. When there is
none either, nobody will ever wake anybody: a deadlock, reported with every waiting task. Too many steps in one instant
are a livelock. Chance comes in through times alone (of packets, of syncs, of faults), so that every run is one that
real machines could make.
"""

# mypy: disable-error-code="override"
# asyncio's signatures speak of its own handles, tasks and executors.
from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeVar

from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.clock import START_NS
from pytest_coordchaos.runtimes.sim.handles import SimHandle, label
from pytest_coordchaos.runtimes.sim.node import NODE, SimNode
from pytest_coordchaos.runtimes.sim.quiet import Quiet
from pytest_coordchaos.runtimes.sim.stuck import Deadlock, Livelock, TimeOver
from pytest_coordchaos.runtimes.sim.tasks import Numbers, SimFuture, SimTask
from pytest_coordchaos.runtimes.sim.trace import PACK, Trace

__all__ = ["Kernel"]

T = TypeVar("T")

_STEPS_AT_ONCE = 200_000
_NOTE_OF_LAST = 12
_TRACED_AT_ONCE = 4096


class Kernel(Quiet):
    """Callbacks, timers, tasks and futures. The network's part is in `surface`.

    Attributes:
        now_ns: Virtual time.
        node: The node whose callback runs; None: the experiment.
        cause: Number of the message that set off what runs now; 0: none.
        trace: What happened.
        exited: Called with a node, and what left it, when SystemExit escapes one of its tasks.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        super().__init__()
        Numbers.restart()
        self.now_ns = START_NS
        self.cause = 0
        self.trace = trace or Trace()
        self.exited: Callable[[SimNode, SystemExit], None] | None = None
        self._ready: deque[SimHandle] = deque()
        self._timers: list[tuple[int, int, SimHandle]] = []
        self._order = count()
        self._step = self.trace.name("step")
        self._names: dict[str, int] = {}
        self._task_names = count(1)
        self._factory: Callable[..., asyncio.Future[Any]] | None = None

    # -- running -----------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T], *, limit_s: float | None = None) -> T:
        """Run until `work` is done, as the experiment; nodes go on meanwhile, and stand still between two calls.

        Raises:
            Deadlock: Nothing can ever happen again.
            Livelock: Time does not go on.
            TimeOver: `limit_s` virtual seconds were not enough.
        """
        task = Context().run(self.create_task, work)
        limit_ns = None if limit_s is None else self.now_ns + int(limit_s * 1e9)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finish_generator)
        asyncio._set_running_loop(self)
        active.enter(self)
        self._running = True
        try:
            self._turn(task, limit_ns)
        finally:
            active.leave()
            self._running = False
            self.node, self.cause = None, 0
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        result: T = task.result()
        return result

    def run_until_complete(self, future: Any) -> Any:
        """asyncio: run until the coroutine or future is done."""
        return self.run(_awaited(future))

    def _turn(self, until: asyncio.Future[Any], limit_ns: int | None) -> None:
        """Run what is ready, first in, first out; when nothing is, time goes on."""
        ready, done, put, names, step = self._ready, until.done, self.trace.put, self._names, self._step
        now, left = self.now_ns, _STEPS_AT_ONCE
        while not done():
            if not ready:
                self._advance(limit_ns)
                if self.now_ns > now:
                    now, left = self.now_ns, _STEPS_AT_ONCE
                continue
            handle = ready.popleft()
            callback = handle._callback
            if callback is None:
                continue
            context = handle._context
            node = context.get(NODE)
            if node is not None and node.halted:
                node.parked.append(handle)
                continue
            left -= 1
            if left < 0:
                next_ones = [label(one._callback) for one in (handle, *ready)][:_NOTE_OF_LAST]
                raise Livelock(now, _STEPS_AT_ONCE + 1, next_ones, self)
            self.node = node
            self.cause = handle.cause
            owner = getattr(callback, "__self__", None)
            if type(owner) is SimTask:
                put(PACK(now, step, owner.number))
            else:
                name = names.get(getattr(callback, "__qualname__", "")) or self._name(callback)
                put(PACK(now, name, 0 if node is None else node.number))
            try:
                context.run(callback, *handle._args)
            except BaseException as error:
                self._failed(error, handle, node)

    def _name(self, callback: Callable[..., object]) -> int:
        text = getattr(callback, "__qualname__", None) or label(callback)
        number = self._names[text] = self.trace.name(text)
        return number

    def _advance(self, limit_ns: int | None) -> None:
        """Time goes to the next timer; all that is due then becomes ready, in the order it was asked for."""
        timers, ready, trace = self._timers, self._ready, self.trace
        while timers and timers[0][2]._callback is None:
            heappop(timers)
        if not timers:
            raise Deadlock(self.now_ns, self)
        when = timers[0][0]
        if limit_ns is not None and when > limit_ns:
            self.now_ns = limit_ns
            raise TimeOver(self.now_ns, self)
        self.now_ns = max(when, self.now_ns)
        while timers and timers[0][0] <= when:
            ready.append(heappop(timers)[2])
        if len(trace.pending) >= _TRACED_AT_ONCE:
            trace.flush()

    def _failed(self, error: BaseException, handle: SimHandle, node: SimNode | None) -> None:
        if isinstance(error, SystemExit) and node is not None and self.exited is not None:
            self.exited(node, error)
        elif node is None or isinstance(error, SystemExit | KeyboardInterrupt):
            raise error  # the simulator's own callbacks do not fail, and nothing may hide it when one does
        else:
            self.call_exception_handler({"message": f"error in {handle!r}", "exception": error})

    # -- callbacks and timers ----------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:
        """asyncio: run at this instant, after what is ready already."""
        handle = SimHandle(callback, args, context, self.cause)
        if not self._over:
            self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:
        """asyncio: the same; there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at_ns(self, when_ns: int, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:
        """Run at a virtual time: for the simulator's own events."""
        handle = SimHandle(callback, args, context, self.cause)
        if not self._over:
            heappush(self._timers, (when_ns, next(self._order), handle))
        return handle

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:
        """asyncio: run when the node's own clock shows `when`. What is to come takes a nanosecond at least."""
        when_ns, node = round(when * 1e9), self.node
        if node is not None:
            when_ns = node.clock.virtual_ns(when_ns)
        if when_ns <= self.now_ns:
            when_ns = self.now_ns + (when > self.time())
        handle = self.call_at_ns(when_ns, callback, *args, context=context)
        handle._when = when
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:
        """asyncio: run after so many seconds of the node's own clock."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def time(self) -> float:
        """asyncio: the node's own monotonic clock."""
        node = self.node
        return (self.now_ns if node is None else node.clock.monotonic_ns(self.now_ns)) / 1e9

    def retime(self, node: SimNode) -> None:
        """A node's clock runs at another rate now: its timers wait for what it shows, not for the time it was thought to take."""
        timers = self._timers
        for place, (_, order, handle) in enumerate(timers):
            if handle._when and handle._callback is not None and handle._context.get(NODE) is node:
                timers[place] = (max(self.now_ns, node.clock.virtual_ns(round(handle._when * 1e9))), order, handle)
        heapify(timers)

    def wake(self, node: SimNode) -> None:
        """A paused node goes on: what was put aside runs now, in order."""
        node.halted = False
        self._ready.extend(node.parked)
        node.parked.clear()

    # -- futures and tasks -------------------------------------------------------------------------

    def create_future(self) -> SimFuture:
        """asyncio: a future of this loop."""
        return SimFuture(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None, **more: Any) -> Any:
        """asyncio: a task of this loop, with a name that counts in this simulation only."""
        name = name or f"Task-{next(self._task_names)}"
        if self._over:
            coro.close()
            coro = _nothing()
        if self._factory is None:
            task = SimTask(coro, loop=self, name=name, context=context, **more)
            task._log_destroy_pending = not self._over  # type: ignore[attr-defined]  # it will never run, and nobody is to blame
            return task
        made = self._factory(self, coro, **({} if context is None else {"context": context}), **more)
        if isinstance(made, asyncio.Task):
            made.set_name(name)
        return made

    def set_task_factory(self, factory: Any) -> None:
        """asyncio: how tasks are made."""
        self._factory = factory

    def get_task_factory(self) -> Any:
        """asyncio: how tasks are made; None: as usual."""
        return self._factory

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """asyncio: there are no threads in a simulation; the function runs on the loop, at a step of its own."""
        future = self.create_future()
        self.call_soon(_settle, future, func, args)
        return future

    def close(self) -> None:
        """The simulation is over: from now on nothing that is asked of the loop has an effect. Idempotent. See `burial`."""
        if self._over:
            return
        self._over = True
        self._ready.clear()
        self._timers.clear()

    def _finish_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._over:
            self.call_soon(self.create_task, generator.aclose())


async def _nothing() -> None:
    """What a task does that is asked for when the world is over."""


async def _awaited(future: Any) -> Any:
    return await future


def _settle(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(func(*args))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        future.set_exception(error)
