"""What a loss of power leaves of a real directory: all that was synced, and of the rest nothing, a part, or all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from reference_systems.kit.disk import RealDisk

Work = Callable[[RealDisk], Awaitable[None]]
_LIVES = count()


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def after(work: Work, tmp_path: Path, seed: int) -> dict[str, bytes]:
    """The files that a machine finds when power went after the work."""
    root = tmp_path / f"life-{next(_LIVES)}" / "data"
    asyncio.run(_do(work, root))
    RealDisk(root).journal.lose_power(1, random.Random(seed))
    return content(root)


async def _do(work: Work, root: Path) -> None:
    await work(RealDisk(root))


async def _log_of_two(disk: RealDisk) -> None:
    log = await disk.open_log("log")
    await disk.sync_dir()
    log.append(b"first,")
    await log.sync()
    log.append(b"second,")
    log.close()


def test_what_was_synced_survives_and_the_rest_is_gone_torn_or_there(tmp_path: Path) -> None:
    found = {after(_log_of_two, tmp_path, seed)["log"] for seed in range(60)}

    assert all(log.startswith(b"first,") and b"first,second,".startswith(log) for log in found)
    assert {b"first,", b"first,second,"} < found


def test_a_kill_loses_nothing_and_what_it_left_unsynced_is_still_lost_with_the_power(tmp_path: Path) -> None:
    root = tmp_path / "data"
    asyncio.run(_do(_log_of_two, root))
    assert content(RealDisk(root)._directory) == {"log": b"first,second,"}

    found = set()
    for seed in range(10):
        again = tmp_path / str(seed) / "data"
        asyncio.run(_do(_log_of_two, again))
        RealDisk(again)  # a life between that did not sync either
        RealDisk(again).journal.lose_power(1, random.Random(seed))
        found.add((again / "log").read_bytes())
    assert b"first," in found


def test_a_loss_is_played_once_and_what_it_left_is_durable(tmp_path: Path) -> None:
    root = tmp_path / "data"
    asyncio.run(_do(_log_of_two, root))
    assert RealDisk(root).journal.lose_power(0, random.Random(1)) is None
    assert RealDisk(root).journal.lose_power(1, random.Random(1)) is not None
    left = content(root)
    assert RealDisk(root).journal.lose_power(1, random.Random(2)) is None
    assert RealDisk(root).journal.lose_power(2, random.Random(3)) == 0
    assert content(root) == left


def test_a_rename_is_all_or_nothing_and_durable_after_sync_dir(tmp_path: Path) -> None:
    async def work(disk: RealDisk) -> None:
        for text in (b"old", b"new"):
            await disk.write("f.new", text)
            await disk.sync("f.new")
            await disk.rename("f.new", "f")
            await disk.sync_dir()
        await disk.write("f.new", b"newest")
        await disk.sync("f.new")
        await disk.rename("f.new", "f")

    found = {tuple(sorted(after(work, tmp_path, seed).items())) for seed in range(30)}

    assert found == {(("f", b"new"),), (("f", b"newest"),)}


def test_a_rename_before_the_sync_of_its_content_may_leave_an_empty_file(tmp_path: Path) -> None:
    async def work(disk: RealDisk) -> None:
        await disk.write("f.new", b"content")
        await disk.rename("f.new", "f")
        await disk.sync_dir()

    found = {after(work, tmp_path, seed)["f"] for seed in range(30)}

    assert {b"", b"content"} < found


def test_a_removed_file_comes_back_unless_the_directory_was_synced(tmp_path: Path) -> None:
    async def removed(disk: RealDisk) -> None:
        await _log_of_two(disk)
        await disk.remove("log")

    async def surely(disk: RealDisk) -> None:
        await removed(disk)
        await disk.sync_dir()

    assert {bool(after(removed, tmp_path, seed)) for seed in range(20)} == {True, False}
    assert not any(after(surely, tmp_path, seed) for seed in range(20))


@pytest.mark.parametrize("synced", [False, True])
def test_a_rewrite_or_a_cut_of_durable_bytes_is_taken_back_unless_it_was_synced(tmp_path: Path, synced: bool) -> None:
    async def work(disk: RealDisk) -> None:
        await _log_of_two(disk)
        await disk.write("file", b"old content")
        await disk.sync("file")
        await disk.sync_dir()
        log = await disk.open_log("log")
        await log.truncate(4)
        await log.truncate(2)
        log.append(b"X")
        await disk.write("file", b"rewritten")
        if synced:
            await log.sync()
            await disk.sync("file")
        log.close()

    found = [after(work, tmp_path, seed) for seed in range(30)]

    kept = {"log": b"fiX", "file": b"rewritten"}
    lost = {"log": b"first,", "file": b"old content"}
    assert all(one in ([kept] if synced else [{**kept, n: lost[n]} for n in lost] + [kept, lost]) for one in found)
    assert (lost in found) is not synced


def test_a_new_file_in_the_place_of_another_one_inherits_nothing(tmp_path: Path) -> None:
    async def work(disk: RealDisk) -> None:
        await disk.write("young", b"y" * 10)
        await disk.sync_dir()
        inode = disk.journal.names()["young"]
        disk.journal.synced(inode, 10)  # as of the file that was there before
        disk.journal.born(inode)

    assert b"" in {after(work, tmp_path, seed)["young"] for seed in range(20)}


def test_files_that_were_there_before_the_journal_are_durable(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "given").write_bytes(b"by somebody")
    for seed in range(1, 10):
        RealDisk(root).journal.lose_power(seed, random.Random(seed))
    assert content(root) == {"given": b"by somebody"}
