"""The portal: synchronous callers on one loop, interrupts that clean up, forked children refused."""

from __future__ import annotations

import asyncio
import os

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.portal import Portal


@pytest.fixture
def portal():
    portal = Portal()
    yield portal
    portal.close()


async def _answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_a_coroutine_runs_and_its_result_comes_back(portal: Portal) -> None:
    assert portal.call(_answer(7)) == 7


def test_an_exception_comes_back_as_it_was_raised(portal: Portal) -> None:
    async def fail() -> None:
        raise UsageError("as raised")

    with pytest.raises(UsageError, match="as raised"):
        portal.call(fail())


def test_an_interrupt_cancels_and_waits_for_the_finally_block(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a verb waits must run the coroutine's undo before it reaches the caller."""
    undone: list[str] = []

    async def held() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            undone.append("undone")

    submit = portal.submit

    def interrupted(coroutine):  # type: ignore[no-untyped-def]  # stands in for one bound method
        future = submit(coroutine)

        class Interrupting:
            done, cancel = future.done, future.cancel

            def result(self) -> None:
                submit(_answer(0)).result()
                raise KeyboardInterrupt

        return Interrupting()

    monkeypatch.setattr(portal, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(held())

    assert undone == ["undone"]


def test_a_forked_child_is_refused_with_a_sentence(portal: Portal) -> None:
    portal.call(_answer(1))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            portal.call(_answer(2))
        except UsageError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)

    assert b"forked child" in os.read(reader, 1000)
    os.close(reader)


def test_closing_twice_is_harmless(portal: Portal) -> None:
    portal.call(_answer(1))
    portal.close()
    portal.close()
