"""Clocks, randomness and fences: what a simulated program sees through names that it bound before anything was patched."""

from __future__ import annotations

import asyncio
import datetime
import io
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime as early_datetime
from os import urandom as early_urandom
from random import gauss as early_gauss
from random import getrandbits as early_getrandbits
from random import randint as early_randint
from random import random as early_random
from time import monotonic as early_monotonic
from time import strftime as early_strftime
from time import time as early_time

import pytest

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import fences, patches
from pytest_coordchaos.runtimes.sim.kernel import Kernel
from tests.sim.rig import Rig


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    patches.install()
    fences.install()
    yield
    fences.uninstall()
    patches.uninstall()


async def _look() -> list[object]:
    await asyncio.sleep(3600)
    return [
        early_time(),
        early_monotonic(),
        time.perf_counter_ns(),
        early_strftime("%H:%M:%S"),
        time.strftime("%Y", time.gmtime(0)),
        time.gmtime()[:5],
        early_datetime.now(datetime.UTC),
        datetime.datetime.now(tz=datetime.UTC),
        datetime.datetime.utcnow() if hasattr(datetime.datetime, "utcnow") else None,
        datetime.date.today(),
        time.clock_gettime(time.CLOCK_REALTIME),
        early_urandom(8),
        uuid.uuid4(),
        uuid.uuid1(),
        secrets.token_hex(8),
        random.random(),
        random.SystemRandom().random(),
        random.Random().random(),
        early_random(),
        early_getrandbits(64),
    ]


@pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
def test_every_clock_and_source_of_randomness_follows_the_simulation() -> None:
    seen = []
    for seed in (1, 1, 2):
        patches.reseed(seed)
        seen.append(Kernel().run(_look()))

    first, again, other = seen
    assert first == again
    assert first[:11] == other[:11]
    assert not set(map(str, first[11:])) & set(map(str, other[11:]))
    assert first[0] == 1_767_225_600 + 1000 + 3600
    assert first[1] == 4600
    assert first[4] == "1970"
    assert first[6] == first[7] == datetime.datetime(2026, 1, 1, 1, 16, 40, tzinfo=datetime.UTC)


def _drawn() -> list[object]:
    return [
        early_random(),
        early_randint(0, 10**9),
        early_gauss(0, 1),
        early_getrandbits(64),
        random.choice(range(10**9)),
        random.Random().random(),
        uuid.uuid4(),
        early_urandom(8),
    ]


def _by_node(seed: int, more: int) -> dict[str, list[object]]:
    """What nodes a and b and the experiment draw, after a has drawn `more` numbers of each kind."""
    patches.reseed(seed)
    rig, seen = Rig(), dict[str, list[object]]()

    async def draw(name: str, more: int) -> None:
        for _ in range(more):
            _drawn()
        seen[name] = _drawn()

    async def story() -> None:
        await rig.on("a", draw("a", more))
        await rig.on("b", draw("b", 0))
        await draw("", 0)

    rig.run(story())
    return seen


def test_what_one_node_draws_changes_nothing_for_another() -> None:
    """A stream for each node, and for each of its lives, through names bound early too."""
    seen, again, other = _by_node(1, more=0), _by_node(1, more=7), _by_node(2, more=0)

    assert seen["b"] == again["b"]
    assert seen[""] == again[""]
    everything = [drawn for one in (seen, other) for drawn in one.values()] + [again["a"]]
    for drawn in zip(*everything, strict=True):
        assert len(set(map(str, drawn))) == 7


def test_a_node_that_seeds_its_generator_seeds_its_own_and_the_module_has_its_own_again_later() -> None:
    rig, seen = Rig(), list[float]()

    async def seeded() -> None:
        random.seed(5)
        state = random.getstate()
        seen.append(early_random())
        random.setstate(state)
        seen.append(early_random())

    async def story() -> None:
        before = random.getstate()
        await rig.on("a", seeded())
        assert random.getstate() == before

    random.seed(9)
    rig.run(story())

    assert seen == [random.Random(5).random()] * 2
    assert early_random() == random.Random(9).random()
    patches.uninstall()
    random.seed(9)
    assert early_random() == random.Random(9).random()


def test_outside_of_a_running_simulation_everything_is_real() -> None:
    Kernel().run(asyncio.sleep(10**6))

    assert early_time() < 4e9
    assert abs(early_datetime.now().timestamp() - early_time()) < 5
    assert early_urandom(16) != early_urandom(16)
    assert len(os.urandom(3)) == 3
    with pytest.raises(ValueError, match="negative"):
        os.urandom(-1)
    threading.Thread(target=lambda: None).start()
    with socket.socket() as real:
        assert real.fileno() > 0


def test_the_self_test_passes_in_a_simulation_and_sees_a_clock_that_leaks() -> None:
    async def story() -> None:
        patches.self_test()
        patches.uninstall()
        with pytest.raises(CapabilityError, match=r"time\.time, datetime\.now"):
            patches.self_test()

    Kernel().run(story())


def test_each_node_has_its_own_clock_and_a_fast_one_fires_its_timers_early() -> None:
    rig, fired = Rig(), dict[str, tuple[float, float, int]]()
    rig.nodes["a"].clock.set_rate(1.25, rig.loop.now_ns)
    rig.nodes["b"].clock.offset_ns = -3_600_000_000_000

    async def node(name: str) -> None:
        monotonic, wall = early_monotonic(), early_time()
        await asyncio.sleep(10)
        fired[name] = (early_monotonic() - monotonic, early_time() - wall, rig.loop.now_ns)

    async def story() -> None:
        begun = rig.loop.now_ns
        await asyncio.gather(*(rig.on(name, node(name)) for name in "abc"))
        for name, true_s in (("a", 8.0), ("b", 10.0), ("c", 10.0)):
            monotonic_s, wall_s, at = fired[name]
            assert monotonic_s == pytest.approx(10, abs=1e-6)
            assert wall_s == pytest.approx(10, abs=1e-6)
            assert (at - begun) / 1e9 == pytest.approx(true_s, abs=1e-6)
        assert await rig.on("c", _wall()) - await rig.on("b", _wall()) == pytest.approx(3600)

    rig.run(story())


async def _wall() -> float:
    return early_datetime.now().timestamp()


def test_a_jump_of_the_wall_clock_moves_no_timer_and_monotonic_time_never_goes_back() -> None:
    rig = Rig()

    async def node() -> None:
        before, wall = early_monotonic(), early_time()
        rig.nodes["a"].clock.offset_ns -= 60_000_000_000
        rig.nodes["a"].clock.set_rate(0.5, rig.loop.now_ns)
        assert early_monotonic() == pytest.approx(before)
        assert early_time() == pytest.approx(wall - 60)
        await asyncio.sleep(1)
        assert early_monotonic() == pytest.approx(before + 1)

    async def story() -> None:
        await rig.on("a", node())
        assert rig.elapsed_s == pytest.approx(2, abs=1e-6)

    rig.run(story())


def test_fences_raise_at_the_call_with_a_sentence() -> None:
    async def story() -> None:
        for act, words in (
            (lambda: threading.Thread(target=print).start(), "a thread runs at the real machine's pace"),
            (lambda: time.sleep(1), "it would stop every node"),
            (lambda: subprocess.run(["true"], check=False), "another program would live on the real clock"),
            (lambda: socket.create_connection(("127.0.0.1", 1)), "it would block every node"),
            (lambda: socket.getaddrinfo("example.org", 80), "the real name service is not asked"),
            (lambda: socket.socket().connect(("127.0.0.1", 1)), "it would block the whole world"),
        ):
            with pytest.raises(CapabilityError, match=words):
                act()

    Kernel().run(story())


def test_what_a_node_prints_is_its_log_and_not_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, screen = Rig(), io.StringIO()
    fences.uninstall()
    monkeypatch.setattr(sys, "stdout", screen)
    fences.install()

    async def node() -> None:
        print("from a")
        rig.nodes["a"].output.remove("from a")
        rig.nodes["a"].output.remove("\n")

    async def story() -> None:
        await rig.on("a", node())
        print("from the experiment")

    rig.run(story())
    fences.uninstall()

    assert screen.getvalue() == "from the experiment\n"
