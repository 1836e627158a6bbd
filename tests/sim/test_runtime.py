"""What the sim runtime promises of nodes beside what every runtime does (see `tests/systems/test_runtime_contract.py`)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.base import Capability, NodeSpec
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.simulation.world import Model, World
from pytest_coordchaos.system.model import Port, System

Story = Callable[[World], Awaitable[None]]
SPEC = NodeSpec(name="n1", argv=(), directory=None)  # type: ignore[arg-type]  # nothing is written in a simulation


@pytest.fixture(autouse=True, scope="module")
def _installed() -> Iterator[None]:
    patches.install()
    yield
    patches.uninstall()


def tell(main: Callable[[], Awaitable[None]], story: Story) -> None:
    """Run a story in a world of one node."""
    world = World(System.from_coroutines({"n1": main}, ports=[Port("tcp", number=8000)]), 1)
    fences.install()  # here and not in a fixture: pytest puts its own sys.stdout in place before each test's call
    try:
        world.run(story(world), limit_s=1000)  # type: ignore[arg-type]  # stories are coroutine functions
    finally:
        world.close()
        fences.uninstall()


async def counts() -> None:
    """Prints a number every second, whatever happens to it."""
    try:
        for number in range(10**6):
            print(number)
            await asyncio.sleep(1)
    finally:
        print("cleaned up")


def test_a_paused_node_runs_nothing_however_long_and_then_goes_on_where_it_was() -> None:
    async def story(world: World) -> None:
        await world.runtime.launch(SPEC)
        await asyncio.sleep(3.5)
        await world.runtime.pause("n1")
        await asyncio.sleep(100)
        assert world.runtime.log("n1") == "0\n1\n2\n3\n"
        await world.runtime.resume("n1")
        await asyncio.sleep(2)
        assert world.runtime.log("n1") == "0\n1\n2\n3\n4\n5\n"

    tell(counts, story)


def test_kill_runs_no_clean_up() -> None:
    async def story(world: World) -> None:
        await world.runtime.launch(SPEC)
        await asyncio.sleep(1.5)
        await world.runtime.kill("n1")
        await asyncio.sleep(100)
        assert "cleaned up" not in world.runtime.log("n1")
        await world.runtime.launch(SPEC)
        await asyncio.sleep(0.5)
        gc.collect()  # nothing that a dead life left may be collected: its clean-up would run
        lines = world.runtime.log("n1").splitlines()
        assert lines[:2] == ["0", "1"]
        assert lines[-2:] == ["--- coordchaos: n1 is started again (start 2) ---", "0"]

    tell(counts, story)


def test_a_dead_life_that_waits_for_itself_alone_is_kept_and_runs_no_clean_up() -> None:
    """asyncio holds tasks weakly: a task that only its own queue could wake would be collected, and its clean-up run."""

    async def main() -> None:
        try:
            await asyncio.Queue[int]().get()
        finally:
            print("cleaned up")

    async def story(world: World) -> None:
        await world.runtime.launch(SPEC)
        await asyncio.sleep(1)
        await world.runtime.kill("n1")
        await world.runtime.launch(SPEC)
        gc.collect()
        await asyncio.sleep(1)
        assert "cleaned up" not in world.runtime.log("n1")

    tell(main, story)


@pytest.mark.parametrize("ending", ["returns", "raises", "exits"])
def test_a_node_whose_main_ends_is_dead_as_a_whole_with_its_status(ending: str) -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_task(counts())
        await asyncio.sleep(1.5)
        if ending == "raises":
            raise ValueError("no such quorum")
        if ending == "exits":
            raise SystemExit(3)

    async def story(world: World) -> None:
        await world.runtime.launch(SPEC)
        await asyncio.sleep(100)
        log = world.runtime.log("n1")
        assert world.runtime.exit_status("n1") == {"returns": 0, "raises": 1, "exits": 3}[ending]
        assert "1\n" in log
        assert "2\n" not in log
        assert ("ValueError: no such quorum" in log) == (ending == "raises")

    tell(main, story)


def test_what_is_declared() -> None:
    async def story(world: World) -> None:
        runtime = world.runtime
        assert runtime.capabilities == {
            Capability.CLOCKS,
            Capability.DISK_SYNCS,
            Capability.DISK_FAULTS,
            Capability.MESSAGE_EVENTS,
            Capability.SYNC_EVENTS,
        }
        assert await runtime.cpu_seconds("n1") == 0.0

    tell(counts, story)


def test_a_system_of_real_programs_is_refused() -> None:
    with pytest.raises(CapabilityError, match="a real program cannot run in sim"):
        World(System(nodes=1, command=["sleep", "1"]), 1)


async def begins() -> None:
    """Says when it began."""
    print(asyncio.get_running_loop().time())
    await asyncio.sleep(10**6)


def _began(seed: int, model: Model) -> dict[str, float]:
    """After how many seconds each of three programs began."""
    names = ("n1", "n2", "n3")
    world = World(System.from_coroutines(dict.fromkeys(names, begins)), seed, model=model)

    async def story() -> dict[str, float]:
        start_s = asyncio.get_running_loop().time()
        for name in names:
            await world.runtime.launch(NodeSpec(name=name, argv=(), directory=None))  # type: ignore[arg-type]  # as SPEC
        await asyncio.sleep(1)
        return {name: float(world.runtime.log(name)) - start_s for name in names}

    fences.install()
    try:
        return world.run(story(), limit_s=1000)
    finally:
        world.close()
        fences.uninstall()


def test_programs_begin_in_a_drawn_order_within_the_time_that_the_model_says() -> None:
    began = [_began(seed, Model(clocks=Model.unit().clocks)) for seed in range(20)]
    assert all(0 <= seconds <= 0.1 for one in began for seconds in one.values())
    assert len({tuple(sorted(one, key=one.__getitem__)) for one in began}) > 1
    assert began[3] == _began(3, Model(clocks=Model.unit().clocks))


def test_programs_begin_at_once_where_the_model_is_exact() -> None:
    assert _began(1, Model.unit()) == {"n1": 0.0, "n2": 0.0, "n3": 0.0}
