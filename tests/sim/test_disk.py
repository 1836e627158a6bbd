"""The simulated disk: what a killed process and a machine without power leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pytest_coordchaos.runtimes.sim.disk import DiskModel, SimDisk
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.tape import Stream

SLOW = DiskModel(sync_ns=1_000_000_000, sync_jitter_ns=0, sync_tail_ns=0)


def disk(given: list[int] | None = None, seed: int = 1, model: DiskModel | None = None) -> tuple[Kernel, SimDisk]:
    """A kernel and a disk; `given`: its choices."""
    kernel = Kernel()
    return kernel, SimDisk(kernel, "n1", model or DiskModel.free(), Stream(str(seed), given), SimLedger())


def after(
    work: Callable[[SimDisk], Coroutine[Any, Any, None]], given: list[int] | None = None, seed: int = 1
) -> dict[str, bytes | None]:
    """The files when power is lost after the work."""
    kernel, one = disk(given, seed)

    async def files() -> dict[str, bytes | None]:
        return {name: await one.read(name) for name in await one.list_files()}

    kernel.run(work(one))
    one.lose_power()
    return dict(kernel.run(files()))


async def _log_of_two(one: SimDisk) -> None:
    log = await one.open_log("log")
    await one.sync_dir()
    log.append(b"first,")
    await log.sync()
    log.append(b"second,")


def test_what_was_synced_survives_every_loss_of_power_and_the_rest_may_tear() -> None:
    found = {after(_log_of_two, seed=seed)["log"] for seed in range(300)}

    assert all(content is not None and content.startswith(b"first,") for content in found)
    assert {b"first,", b"first,second,"} <= found
    assert any(b"first," < content < b"first,second," for content in found if content)
    assert any(content.endswith(b"\0") for content in found if content), "zeros where the size came before the data"


def test_choices_of_zero_lose_nothing() -> None:
    assert after(_log_of_two, given=[]) == {"log": b"first,second,"}


def test_a_file_whose_name_was_not_synced_may_be_gone_though_its_content_was() -> None:
    async def work(one: SimDisk) -> None:
        await one.write("kept", b"1")
        await one.sync("kept")
        await one.sync_dir()
        await one.write("new", b"2")
        await one.sync("new")

    found = [after(work, seed=seed) for seed in range(30)]

    assert {"kept": b"1"} in found
    assert {"kept": b"1", "new": b"2"} in found
    assert len({tuple(files) for files in found}) == 2


def test_a_rename_is_all_or_nothing_and_durable_after_sync_dir() -> None:
    async def work(one: SimDisk) -> None:
        for content in (b"old", b"new"):
            await one.write("f.new", content)
            await one.sync("f.new")
            await one.rename("f.new", "f")
            await one.sync_dir()
        await one.write("f.new", b"newest")
        await one.sync("f.new")
        await one.rename("f.new", "f")

    found = {tuple(sorted(after(work, seed=seed).items())) for seed in range(60)}

    assert found == {(("f", b"new"),), (("f", b"new"), ("f.new", b"newest")), (("f", b"newest"),)}


def test_a_rename_before_the_sync_of_its_content_may_leave_an_empty_file() -> None:
    """The classic mistake: the name is durable, the bytes are not."""

    async def work(one: SimDisk) -> None:
        await one.write("f.new", b"content")
        await one.rename("f.new", "f")
        await one.sync_dir()

    found = {after(work, seed=seed)["f"] for seed in range(60)}

    assert b"" in found
    assert b"content" in found


def test_a_sync_covers_what_was_appended_before_it_and_takes_its_time() -> None:
    kernel, one = disk([0, 1], model=SLOW)

    async def work() -> None:
        log = await one.open_log("log")
        await one.sync_dir()
        log.append(b"a")
        syncing = asyncio.ensure_future(log.sync())
        await asyncio.sleep(0.5)
        log.append(b"b")
        await syncing
        assert asyncio.get_running_loop().time() == pytest.approx(1002.0)
        one.lose_power()
        assert await one.read("log") in (b"a", b"ab", b"a\0")
        assert one.syncs == 2

    kernel.run(work())


def test_names_are_plain_and_missing_files_are_said() -> None:
    kernel, one = disk()

    async def work() -> None:
        assert await one.read("none") is None
        await one.remove("none")
        for name in ("", "..", "a/b"):
            with pytest.raises(ValueError, match="is not allowed"):
                await one.read(name)
        with pytest.raises(FileNotFoundError):
            await one.sync("none")
        with pytest.raises(FileNotFoundError):
            await one.rename("none", "some")

    kernel.run(work())
