"""`run_async` in a test's own loop: asyncio and trio alike, and a cancelled one undoes its faults."""

from __future__ import annotations

from tests.plugin.conftest import Suite

ON_ANY_LOOP = """
import pytest

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.coordination_budget(op="put", messages_per_op=4.4)
async def test_async(raft_kv, anyio_backend):
    run = await raft_kv.run_async("register", seconds=1, clients=1)
    assert run.figures.ok > 10
"""

CANCELLED = """
import asyncio
import pytest

@pytest.mark.asyncio
async def test_cancelled(raft_kv):
    task = asyncio.create_task(raft_kv.run_async("register", seconds=60, faults=["slow:5"]))
    while not raft_kv.faults:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(raft_kv.wait_until, lambda: not raft_kv.faults, what="the fault undone")
"""


def test_run_async_works_on_asyncio_and_trio(suite: Suite) -> None:
    suite.file("test_async.py", ON_ANY_LOOP)
    result = suite.alone("--coordchaos", "-p", "no:asyncio", "-p", "no:xdist")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*messages_per_op[[]put[]] held*"])


def test_a_cancelled_run_undoes_its_faults(suite: Suite) -> None:
    suite.file("test_async.py", CANCELLED)
    result = suite.alone("--coordchaos", "-o", "asyncio_default_fixture_loop_scope=function")

    result.assert_outcomes(passed=1)
