"""Nothing is left behind: not by a SIGKILL of the session at any moment, not by sessions that died before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_coordchaos.runtimes import labels
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.procfs import read_stat
from tests.systems.process_rig import DEADLINE_S, PROGRAMS, can_be_bound, is_alive, of_run

ROOT = Path(__file__).parents[2]
PHASES = ["begun", "guarded", "launching", "launched", "ready", "again"]
MOMENTS = 25


@pytest.mark.parametrize("forks", [False, True], ids=["plain", "with forked children that outlive it"])
def test_a_killed_session_leaves_nothing_at_any_moment(tmp_path: Path, forks: bool) -> None:
    """25 moments each: a phase drawn from a seed, and a little later by chance, so that every step gets cut somewhere."""
    rng = random.Random(f"moments {forks}")
    moments = [(rng.choice(PHASES), rng.uniform(0, 0.03)) for _ in range(MOMENTS)]
    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda item: _kill_one(tmp_path / f"m{item[0]}", *item[1], forks), enumerate(moments)))


def _kill_one(place: Path, phase: str, more_s: float, forks: bool) -> None:
    root, elsewhere, run_id = place / "root", place / "elsewhere", f"{place.name}-{random.getrandbits(64):x}"
    root.mkdir(parents=True)
    elsewhere.mkdir()
    # a process group of its own, so that the children which the session forked can be ended here
    session = _start_session(root, elsewhere, run_id, forks)
    try:
        _wait_for(session, phase)
        time.sleep(more_s)  # not a synchronisation: this *is* the random moment
        session.kill()
        session.wait()
        _assert_nothing_left(root, elsewhere, run_id)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session.pid, signal.SIGKILL)
        session.wait()
        session.stdout.close()


def _start_session(root: Path, elsewhere: Path, run_id: str, forks: bool) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(elsewhere), "HOME": str(elsewhere)}
    argv = [sys.executable, "-B", str(PROGRAMS / "session.py"), str(root), run_id, *(["fork"] if forks else [])]
    return subprocess.Popen(argv, cwd=elsewhere, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _wait_for(session: subprocess.Popen[str], phase: str) -> None:
    said = []
    for line in session.stdout:
        said.append(line.strip())
        if said[-1] == phase:
            return
    pytest.fail(f"the session ended by itself with {session.wait()} after {said}")


def _assert_nothing_left(root: Path, elsewhere: Path, run_id: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (left := sorted(of_run(run_id, root))) and time.monotonic() < deadline:
        time.sleep(0.005)

    assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
    assert list(elsewhere.iterdir()) == []
    if (root / "address.json").exists():
        host, number, claimed = json.loads((root / "address.json").read_text())
        assert can_be_bound((host, number), reuse=True)
        assert _lock_is_free(f"port-{host}-{number}")
        assert _lock_is_free(f"host-{claimed}")


def _lock_is_free(name: str) -> bool:
    return f"@coordchaos-{name}\n" not in Path("/proc/net/unix").read_text()


# -- the sweep ------------------------------------------------------------------------------------


@pytest.fixture
def dead_owner() -> str:
    """The label of a process that has ended."""
    code = "from pytest_coordchaos.runtimes.labels import owner_of_this_process as own; print(own())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextlib.contextmanager
def _orphan(owner: str, role: str = "") -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], env={labels.OWNER: owner, labels.ROLE: role}, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_sweep_ends_what_dead_owners_left_with_its_group(dead_owner: str) -> None:
    """Also the member of its process group that dropped the label."""
    script = "env -i sleep 1000 & echo $!; exec sleep 1000"
    env = {labels.OWNER: dead_owner, "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sh", "-c", script], env=env, start_new_session=True, stdout=subprocess.PIPE, text=True) as orphan:
        member = int(orphan.stdout.readline())
        labels.sweep()  # another session that starts now may be first; what counts is that they end

        assert orphan.wait(DEADLINE_S) == -signal.SIGKILL
    _wait_until_gone(member)


def test_the_sweep_leaves_a_dead_owner_to_its_watchdog_while_that_lives(dead_owner: str) -> None:
    """Else daemons without a label would escape: only the watchdog knows them."""
    with _orphan(dead_owner) as node, _orphan(dead_owner, role=labels.WATCHDOG) as watchdog:
        labels.sweep()
        assert (node.poll(), watchdog.poll()) == (None, None)

        watchdog.kill()
        watchdog.wait()
        labels.sweep()
        assert node.wait(DEADLINE_S) == -signal.SIGKILL


def test_the_sweep_leaves_living_owners_and_foreign_places_alone(dead_owner: str) -> None:
    host, boot, namespace, pid, start = dead_owner.split(":")
    others = [
        labels.owner_of_this_process(),
        f"other-host:{boot}:{namespace}:{pid}:{start}",
        f"{host}:other-boot:{namespace}:{pid}:{start}",
        f"{host}:{boot}:1:{pid}:{start}",
        "nonsense",
    ]
    with contextlib.ExitStack() as stack:
        alive = [stack.enter_context(_orphan(owner)) for owner in others]
        swept = labels.sweep()

        assert not {process.pid for process in alive} & set(swept)
        assert [process.poll() for process in alive] == [None] * len(alive)


def test_a_pid_used_again_is_another_owner() -> None:
    own = labels.owner_of_this_process()
    stat = read_stat(os.getpid())

    assert stat is not None
    assert own.endswith(f":{os.getpid()}:{stat.start_ticks}")
    assert not labels.is_dead(own)
    assert labels.is_dead(own.rpartition(":")[0] + f":{stat.start_ticks - 1}")


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.002)


def _forked(work: Callable[[], None]) -> None:
    """Do something in a forked child and wait for its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: forking with threads, which is the point here
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


# -- the program itself ------------------------------------------------------------------------------


def test_the_watchdog_loads_the_standard_library_and_its_own_files_only() -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); import pytest_coordchaos.runtimes.watchdog as w;"
        "print(*{m for m in sys.modules if m.partition('.')[0] not in sys.stdlib_module_names})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - {"__main__"}
    own = ("holds", "hosts", "keeper", "procfs", "trees", "watchdog")

    assert loaded == {"pytest_coordchaos", "pytest_coordchaos.runtimes", *(f"pytest_coordchaos.runtimes.{name}" for name in own)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_of_the_terminal_do_not_end_the_watchdog(tmp_path: Path, number: int) -> None:
    """It answers after the signal, and is in a session of its own."""

    async def story() -> None:
        guard = await Guard.start(tmp_path, "signals")
        try:
            stat = read_stat(guard.pid)
            assert stat is not None
            assert stat.session == guard.pid
            os.kill(guard.pid, number)
            assert (await guard.call("stat"))["processes"] == 0
        finally:
            await guard.aclose()

    asyncio.run(story())


def test_a_forked_child_of_the_session_cannot_end_it(tmp_path: Path) -> None:
    """The exit handlers of a child forked by a test run too; the watchdog must not listen to them."""

    async def story() -> None:
        guard = await Guard.start(tmp_path, "forked")
        try:
            _forked(guard.kill_now)
            assert (await guard.call("stat"))["processes"] == 0
        finally:
            await guard.aclose()

    asyncio.run(story())


def _is_free_behind_a_keeper(before: str) -> str:
    """Fork a keeper after this preparation, close a port held as `held`, and bind its address at once; "free" when that works."""
    program = f"""
import os, socket, time
from pytest_coordchaos.runtimes import keeper
{before}
address = held.getsockname()
order = dict(argv=["true"], env=dict(os.environ), cwd="/", log=os.devnull, hosts="")
pid, _ = keeper.fork_keeper(order)
held.close()
taken = socket.socket()
taken.bind(address)
os.waitpid(pid, 0)
print("free")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or done.stderr


def test_a_keeper_lets_go_of_a_lent_port_before_anybody_can_need_it() -> None:
    """Found as "Address already in use": a keeper not yet scheduled still held the port of the node started after it."""
    before = """
held = socket.create_server(("127.0.0.1", 0))
keep_only = keeper._keep_only
keeper._keep_only = lambda *fds: (time.sleep(0.3), keep_only(*fds))  # a keeper that waits for its turn on a busy machine
"""

    assert _is_free_behind_a_keeper(before) == "free"


def test_a_keeper_says_that_it_holds_nothing_only_after_it_let_go_of_the_last_port() -> None:
    """Found as "Address already in use": in the gap of a port lent before, the pipe that says so had the lowest number."""
    before = """
gap = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
held = socket.create_server(("127.0.0.1", 0))
number = held.fileno()
for descriptor in gap:
    os.close(descriptor)
close = os.close
os.close = lambda fd: (time.sleep(0.3 if fd == number else 0), close(fd))  # the keeper is put aside in the middle
"""

    assert _is_free_behind_a_keeper(before) == "free"
