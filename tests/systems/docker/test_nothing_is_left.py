"""Whatever ends a session, its containers, networks and volumes end with it, and nobody else's do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos.runtimes import docker_reaper, labels
from pytest_coordchaos.runtimes.docker_session import Docker
from tests.systems.docker.engine import BASE, client, left_of

SUITE = """
import pytest
from reference_systems.raft_kv.system import system

@pytest.fixture
def kv(coordchaos):
    with coordchaos.start(system(nodes=3)) as cluster:
        yield cluster

@pytest.mark.parametrize("turn", range(50))
def test_busy(kv, turn):
    kv.run("register", seconds=1, faults=["kill:one"])
"""
GONE_S = 40.0


@pytest.fixture
def sdk() -> Iterator[Any]:
    sdk = client()
    yield sdk
    sdk.close()


def owner_of(pid: int, *, boot: str | None = None) -> str:
    """The label of a process of this machine, or of one of another boot."""
    place, _, _ = labels.owner_of_this_process().rpartition(":")[0].rpartition(":")
    host, own_boot, namespace = place.rsplit(":", 2)
    return f"{host}:{boot or own_boot}:{namespace}:{pid}:1"


def test_the_sweep_takes_what_dead_owners_left_and_leaves_strangers_alone(sdk: Any, tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    owners = {
        "dead": owner_of(ended.pid),
        "alive": labels.owner_of_this_process(),
        "elsewhere": owner_of(ended.pid, boot="00000000-0000-0000-0000-000000000000"),
        "nobody": None,
    }
    made = {}
    for name, owner in owners.items():
        label = {} if owner is None else {docker_reaper.LABEL: owner}
        network = sdk.networks.create(f"sweep-{os.getpid()}-{name}", labels=label, internal=True)
        made[name] = (sdk.containers.create(BASE, ["sleep", "9"], name=f"sweep-{os.getpid()}-{name}", labels=label), network)
    try:
        swept = asyncio.run(_swept(tmp_path))
        left = {one.name for one in (*sdk.containers.list(all=True, ignore_removed=True), *sdk.networks.list())}
    finally:
        for things in made.values():
            for thing in things:
                with contextlib.suppress(Exception):
                    thing.remove()

    assert {f"sweep-{os.getpid()}-{name}" for name in ("elsewhere", "nobody")} <= left
    assert f"sweep-{os.getpid()}-dead" not in left
    assert swept.count(f"sweep-{os.getpid()}-dead") == 2


async def _swept(root: Path) -> tuple[str, ...]:
    docker = await Docker.open(root, "sweeper", base=BASE)
    seen = docker.swept
    await docker.aclose()
    return seen


@pytest.mark.parametrize(
    ("number", "relay"),
    [(signal.SIGKILL, "host"), (signal.SIGKILL, "container"), (signal.SIGTERM, "host"), (signal.SIGINT, "host")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_session_that_is_ended_at_any_moment_leaves_nothing(tmp_path: Path, number: signal.Signals, relay: str) -> None:
    """At once where the reaper lives; random moments, from before the first container into a running experiment."""
    (tmp_path / "test_busy.py").write_text(SUITE)
    rng = random.Random(f"containers {number}")
    for moment_s in (rng.uniform(0.5, 3.0), rng.uniform(3.0, 9.0)):
        process = _start(tmp_path, relay)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment_s)
            pytest.fail(f"the suite ended by itself with status {process.returncode}; nothing was tested")
        process.send_signal(number)
        process.wait()
        _assert_gone(process.pid)


def _start(root: Path, relay: str) -> subprocess.Popen[bytes]:
    options = ["-q", "--coordchaos", "--coordchaos-runtime=docker", f"--coordchaos-relay={relay}"]
    options += ["-p", "no:cacheprovider", f"--basetemp={root / 'base'}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    argv = [sys.executable, "-m", "pytest", *options, "test_busy.py"]
    return subprocess.Popen(
        argv,
        cwd=root,
        env={**os.environ, "COORDCHAOS_BASE_IMAGE": BASE},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in a shell's background ignores it
        **quiet,
    )


def _assert_gone(pid: int) -> None:
    """What that process owned is gone, and so is its reaper."""
    deadline = time.monotonic() + GONE_S
    while (left := [name for name in left_of("") if f"-{pid}-" in name]) or _reapers(pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _reapers(pid: int) -> list[int]:
    """Living reapers of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(word.endswith(b"docker_reaper.py") for word in words) and f":{pid}:".encode() in words[-2]:
                found.append(int(entry.name))
    return found
