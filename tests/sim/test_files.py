"""Files that simulated programs open themselves: private to a node, virtual in time, and lost where they were not synced."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.base import NodeSpec
from pytest_coordchaos.runtimes.sim import fences, opening, patches
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.system.model import System


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))  # other tests use the real one meanwhile
    patches.install()
    fences.install()
    opening.install()
    yield
    opening.uninstall()
    fences.uninstall()
    patches.uninstall()


async def launch(world: World, node: str) -> None:
    """Start it and let it go on for a second."""
    await world.runtime.launch(NodeSpec(name=node, argv=(), directory=Path(node)))
    await asyncio.sleep(1)
    assert world.runtime.exit_status(node) is None, world.runtime.log(node)


def tell(story: Callable[[World], Awaitable[None]], seed: int = 1, **work: Callable[[], Any]) -> None:
    """Tell a story of nodes that do their work and then stay; nothing is left behind."""

    def main(work: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
        async def stays() -> None:
            kept = work()
            await asyncio.sleep(10**6)
            del kept

        return stays

    world = World(System.from_coroutines({name: main(one) for name, one in work.items()}), seed, model=Model(boot_ns=0))
    try:
        world.run(story(world), limit_s=1000)  # type: ignore[arg-type]  # stories are coroutine functions
    finally:
        world.close()
    assert os.listdir(tempfile.gettempdir()) == []
    assert os.listdir() == [], "nothing was written where the tests run"


def test_each_node_has_files_of_its_own_in_one_order_with_virtual_times() -> None:
    def one() -> None:
        os.makedirs("data/deep")
        for name in ("c", "a", "b"):
            Path("data", name).write_text(name)
        os.replace("data/c", "data/deep/c")
        with open("/sim/data/a", "a") as file:
            file.write("more")
        os.remove("data/b")
        assert list(os.walk(".")) == [(".", ["data"], []), ("./data", ["deep"], ["a"]), ("./data/deep", [], ["c"])]
        assert (os.getcwd(), Path("x").absolute(), Path("data/a").read_text()) == ("/sim", Path("/sim/x"), "amore")
        assert os.path.getmtime("data/a") == 1_767_225_600 + 1000
        assert os.listdir("data") == ["a", "deep"]
        shutil.copytree("data", "copy")
        shutil.rmtree("data")
        assert [path.as_posix() for path in Path().rglob("*")] == ["copy", "copy/a", "copy/deep", "copy/deep/c"]
        assert Path(__file__).is_file()

    def two() -> None:
        assert os.listdir() == []
        assert not os.path.exists("copy")

    async def story(world: World) -> None:
        world.runtime.clock("one").offset_ns = 0
        world.runtime.clock("one").set_rate(1.0, world.loop.now_ns)
        await launch(world, "one")
        await launch(world, "two")

    tell(story, one=one, two=two)


def test_a_killed_node_finds_what_it_wrote_but_not_what_it_did_not_flush() -> None:
    found: list[str] = []

    def work() -> Any:
        found.append(Path("log").read_text() if os.path.exists("log") else "nothing")
        file = open("log", "a")  # noqa: SIM115 - a killed process closes nothing
        file.write("flushed ")
        file.flush()
        file.write("not flushed ")
        return file

    async def story(world: World) -> None:
        for _ in range(2):
            await launch(world, "one")
            await world.runtime.kill("one")

    tell(story, one=work)

    assert found == ["nothing", "flushed "]


def _after_power_loss(seed: int) -> str:
    """What a node finds after it wrote a synced part and an unsynced one, replaced a file, and lost its machine's power."""
    found: list[str] = []

    def work() -> None:
        if os.path.exists("snapshot"):
            found.append(" ".join(Path(name).read_text() for name in ("wal", "snapshot")))
            return
        for name, content in (("wal", "synced"), ("snapshot", "old")):
            with open(name, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        directory = os.open(".", os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        with open("wal", "a") as file:
            file.write("MORE")
        Path("new").write_text("new")
        os.replace("new", "snapshot")

    async def story(world: World) -> None:
        await launch(world, "one")
        assert world.disks["one"].syncs == 3
        await world.runtime.lose_power("one")
        await launch(world, "one")

    tell(story, seed, one=work)
    return found[0]


def test_a_machine_without_power_keeps_what_was_synced_and_a_drawn_part_of_the_rest() -> None:
    found = [_after_power_loss(seed) for seed in range(40)]
    wals, snapshots = ({text.partition(" ")[place] for text in found} for place in (0, 2))

    assert wals == {"synced", "syncedM", "syncedMO", "syncedMOR", "syncedMORE"}
    assert snapshots == {"old", "new", "", "n", "ne"}, "replaced and not synced: the old one, or the new one, torn or empty"
    assert _after_power_loss(3) == found[3]


def _next_of(work: Iterator[Callable[[], None]]) -> None:
    next(work)()


def test_a_removal_that_is_lost_with_the_power_brings_the_file_back_as_it_was() -> None:
    """Also where the file system gave its number to the next file."""
    found: set[tuple[tuple[str, str], ...]] = set()

    def first() -> None:
        Path("old").write_text("old")
        for name in ("old", "."):
            number = os.open(name, os.O_RDONLY)
            os.fsync(number)
            os.close(number)
        os.remove("old")
        Path("young").write_text("y")

    def then() -> None:
        found.add(tuple((name, Path(name).read_text()) for name in os.listdir()))

    for seed in range(12):
        work = iter([first, then])

        async def story(world: World) -> None:
            await launch(world, "one")
            await world.runtime.lose_power("one")
            await launch(world, "one")

        tell(story, seed, one=partial(_next_of, work))

    assert found == {(("old", "old"),), (("young", "y"),), (("young", ""),)}


def test_files_of_this_computer_are_read_but_not_written_and_a_full_disk_says_so(tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("template")

    def one() -> None:
        assert outside.read_text() == "template"
        acts: list[Callable[[], Any]] = [
            lambda: outside.write_text("x"),
            lambda: os.open(outside, os.O_RDWR),
            lambda: os.remove(outside),
            lambda: os.rename("a", outside),
            lambda: os.mkdir("../b"),
        ]
        for act in acts:
            with pytest.raises(PermissionError, match="all nodes would share") as caught:
                act()
            assert isinstance(caught.value, CapabilityError)
        for refused in (lambda: os.chdir("x"), lambda: os.symlink("a", "b")):
            with pytest.raises(CapabilityError, match="is not simulated"):
                refused()
        with pytest.raises(FileNotFoundError, match="'missing'"):
            Path("missing").read_text()

    def two() -> None:
        with pytest.raises(OSError, match="no space left"):
            Path("a").write_text("x")

    async def story(world: World) -> None:
        await launch(world, "one")
        world.disks["two"].full = True
        await launch(world, "two")

    tell(story, one=one, two=two)
    assert outside.read_text() == "template"
