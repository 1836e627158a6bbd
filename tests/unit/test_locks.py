"""What one session has at a time, and none waits for a dead one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import sys

from pytest_coordchaos.runtimes.locks import exclusive

_HOLD = """
import asyncio, sys
from pytest_coordchaos.runtimes.locks import exclusive

async def main():
    async with exclusive(sys.argv[1], at_most_s=0):
        print("mine", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_only_one_at_a_time_has_a_thing() -> None:
    what, inside, most = secrets.token_hex(8), 0, 0

    async def go() -> None:
        nonlocal inside, most
        async with exclusive(what, at_most_s=60):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(go() for _ in range(5)))
    assert (inside, most) == (0, 1)


async def test_other_things_are_not_waited_for() -> None:
    async with (
        asyncio.timeout(60),
        exclusive("a" + (what := secrets.token_hex(60)), at_most_s=math.inf),
        exclusive("b" + what, at_most_s=math.inf),
    ):
        pass


async def test_what_a_process_has_ends_with_it_however_it_ends() -> None:
    what = secrets.token_hex(8)
    order: list[str] = []
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, what, stdout=asyncio.subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"mine\n"

        async def go() -> None:
            async with exclusive(what, at_most_s=600):
                order.append("mine")

        waiting = asyncio.create_task(go())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        order.append("killed")
        other.kill()
        await waiting
    finally:
        with contextlib.suppress(ProcessLookupError):
            other.kill()
        await other.wait()
    assert order == ["killed", "mine"]


async def test_nobody_waits_for_ever_for_one_who_hangs() -> None:
    what = secrets.token_hex(8)
    async with asyncio.timeout(60), exclusive(what, at_most_s=math.inf), exclusive(what, at_most_s=0.1):
        pass
