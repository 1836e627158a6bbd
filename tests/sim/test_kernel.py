"""The kernel: order, time, determinism, parking, and what is said when nothing can go on."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.stuck import Deadlock, Livelock, TimeOver
from pytest_coordchaos.runtimes.sim.trace import Trace
from tests.sim.rig import Rig


async def _cancelled_group() -> tuple[int, ...]:
    order = []

    async def member(number: int) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            order.append(number)
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(member(number))
            await asyncio.sleep(1)
            raise ValueError
    except* ValueError:
        pass
    return tuple(order)


def test_a_group_of_twelve_is_cancelled_in_one_order_sixty_times() -> None:
    """asyncio keeps tasks in sets by address: elsewhere the order follows what happens to lie in memory."""
    seen, waste = set(), []
    for _ in range(60):
        waste.append([object() for _ in range(random.randrange(2000))])
        kernel = Kernel()
        seen.add((kernel.run(_cancelled_group()), kernel.trace.digest))
        kernel.close()

    assert len(seen) == 1


def test_waiting_takes_no_time_and_a_year_passes() -> None:
    async def story() -> float:
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    kernel = Kernel()
    begun = kernel.time()

    assert kernel.run(story()) - begun == 365 * 86_400


def test_timers_fire_in_order_and_those_of_one_instant_as_they_were_set() -> None:
    async def story() -> list[str]:
        loop, seen = asyncio.get_running_loop(), list[str]()
        for name, delay in (("c", 2.0), ("a", 1.0), ("b", 1.0), ("d", 2.0)):
            loop.call_later(delay, seen.append, name)
        loop.call_later(0.5, seen.append, "never").cancel()
        await asyncio.sleep(3)
        return seen

    assert Kernel().run(story()) == ["a", "b", "c", "d"]


def test_a_timer_that_is_still_to_come_takes_at_least_a_nanosecond() -> None:
    """Or a program that waits for a deadline in a loop would never get there."""

    async def story() -> int:
        loop, turns = asyncio.get_running_loop(), 0
        deadline = loop.time() + 0.1 + 0.2
        while loop.time() < deadline:
            await asyncio.sleep(deadline - loop.time())
            turns += 1
        return turns

    assert Kernel().run(story()) <= 3


def test_a_deadlock_names_every_waiting_await_down_to_the_last() -> None:
    rig = Rig()

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def reads() -> None:
        async for _ in numbers():
            pass

    async def locks() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(reads(), name="the reader")
            condition = asyncio.Condition()
            async with condition:
                await condition.wait()

    with pytest.raises(Deadlock) as caught:
        rig.run(rig_story(rig, locks()))

    first, *lines = str(caught.value).splitlines()
    assert first.endswith("nothing is ready, no timer is set; 3 tasks wait:")
    steps = [re.sub(r":\d+", "", line.strip(" |")) for line in lines]
    local = "test_a_deadlock_names_every_waiting_await_down_to_the_last.<locals>."
    assert steps == [
        "- Task-1: rig_story (test_kernel.py) > task Task-2",
        f"a Task-2: {local}locks (test_kernel.py) > Condition.wait (locks.py)",
        f"a the reader: {local}reads (test_kernel.py) > {local}numbers (test_kernel.py) > Event.wait (locks.py)",
    ]


async def rig_story(rig: Rig, work: Coroutine[Any, Any, None]) -> None:
    await rig.on("a", work)


def test_a_livelock_is_told_from_progress_and_names_what_spins_and_what_waits() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - it waits for nothing
            await asyncio.sleep(0)

    async def story() -> None:
        await asyncio.create_task(spin(), name="the spinner")

    with pytest.raises(Livelock, match=r"200001 steps in one instant; ready: .*spin; 2 tasks wait:") as caught:
        Kernel().run(story())

    assert "story (test_kernel.py:" in str(caught.value)
    assert " > task the spinner\n" in str(caught.value)
    assert re.search(r"- the spinner: \S+spin \(test_kernel.py:\d+\) > sleep \(tasks.py:\d+\)", str(caught.value))


def test_a_limit_of_virtual_time_ends_what_never_would() -> None:
    async def heartbeat() -> None:
        while True:  # noqa: ASYNC110 - it waits for nothing
            await asyncio.sleep(1)

    kernel = Kernel()
    begun = kernel.time()
    with pytest.raises(TimeOver, match="heartbeat"):
        kernel.run(heartbeat(), limit_s=10)

    assert kernel.time() - begun == 10


def test_a_dead_node_runs_no_finally_and_a_paused_one_goes_on_where_it_was() -> None:
    rig, seen = Rig(), list[str]()

    async def node(name: str) -> None:
        try:
            async with asyncio.timeout(50):
                for beat in range(10):
                    await asyncio.sleep(1)
                    seen.append(f"{name}{beat}")
        finally:
            seen.append(f"{name} finally")

    async def story() -> None:
        rig.on("a", node("a"))
        rig.on("b", node("b"))
        await asyncio.sleep(2.5)
        rig.nodes["a"].halted = rig.nodes["a"].dead = True
        rig.nodes["b"].halted = True
        await asyncio.sleep(100)
        assert seen == ["a0", "b0", "a1", "b1"]
        rig.loop.wake(rig.nodes["b"])
        await asyncio.sleep(100)
        assert seen[4:] == ["b finally"]  # its time limit passed meanwhile, and it learns so at once

    rig.run(story())


def test_executor_jobs_run_on_the_loop_and_hand_back_errors() -> None:
    async def story() -> None:
        assert await asyncio.to_thread(lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    Kernel().run(story())


def test_traces_of_two_runs_are_equal_until_what_differs_between_them() -> None:
    async def story(pause: float) -> None:
        await asyncio.sleep(1)
        await asyncio.sleep(pause)

    kernels = []
    for pause in (1.0, 1.0, 2.0):
        kernel = Kernel(Trace(keep=True))
        kernel.run(story(pause))
        kernels.append(kernel)

    assert kernels[0].trace.digest == kernels[1].trace.digest != kernels[2].trace.digest
    one, again, third = (list(kernel.trace.records()) for kernel in kernels)
    assert one == again
    parted = next(number for number, pair in enumerate(zip(one, third, strict=False)) if pair[0] != pair[1])
    assert third[parted][0] - one[parted][0] == 1_000_000_000


def test_an_abandoned_async_generator_is_closed_by_the_loop() -> None:
    closed = []

    async def numbers() -> object:
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def story() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    Kernel().run(story())

    assert closed == [True]
