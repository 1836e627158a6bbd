"""SIGKILL of pytest at any moment leaves no process, no port and no file outside its temp root."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SUITE = """
import os, time
import pytest

@pytest.fixture(scope="module")
def kv(coordchaos):
    from reference_systems.raft_kv.system import system
    with coordchaos.start(system(nodes=3)) as cluster:
        yield cluster

@pytest.mark.parametrize("turn", range(50))
def test_busy(kv, turn):
    if {forks!r} and turn == 0 and os.fork() == 0:
        time.sleep(30)                      # outlives pytest and holds every descriptor it had
        os._exit(0)
    kv.run("register", seconds=1, faults=["pause:one"])
"""
MOMENTS = 50
LONGEST_S = 2.2


@pytest.mark.parametrize("forks", [False, True], ids=["plain", "tests that fork"])
def test_fifty_random_moments(tmp_path: Path, forks: bool) -> None:
    """Half of the fifty moments for each suite; two at a time, to keep two cores busy."""
    (tmp_path / "test_busy.py").write_text(SUITE.format(forks=forks))
    (tmp_path / "tmp").mkdir()
    rng = random.Random(f"kill {forks}")
    moments = [rng.uniform(0.2, LONGEST_S) for _ in range(MOMENTS // 2)]
    before = _files_outside(tmp_path)
    for first, second in zip(moments[::2], [*moments[1::2], 0.4], strict=False):
        victims = [(_start(tmp_path, f"{first}-{second}-{i}"), moment) for i, moment in enumerate((first, second))]
        for process, moment in sorted(victims, key=lambda pair: pair[1]):
            _kill_at(process, moment)
        _assert_gone(tmp_path)

    assert _files_outside(tmp_path) - before == set()


def _start(root: Path, label: str) -> subprocess.Popen[bytes]:
    options = ["-q", "--coordchaos", "-p", "no:cacheprovider", f"--basetemp={root / label}"]
    argv = [sys.executable, "-m", "pytest", *options, "test_busy.py"]
    environment = {**os.environ, "COORDCHAOS_KILL_TEST": str(root), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(root / "tmp")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(argv, cwd=root, env=environment, start_new_session=True, **quiet)


def _kill_at(process: subprocess.Popen[bytes], moment_s: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment_s)
        pytest.fail(f"the suite ended by itself with status {process.returncode}; nothing was tested")
    process.send_signal(signal.SIGKILL)
    process.wait()


def _assert_gone(root: Path) -> None:
    """Every process that inherited our label must end by itself, but for the fork that a test made itself."""
    deadline = time.monotonic() + 10
    while (left := _labelled(root)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.05)
    assert not left, [(process.pid, process.cmdline()) for process in left]
    _end_forks(root)


def _labelled(root: Path) -> list[psutil.Process]:
    return [one for one in _ours(root) if "COORDCHAOS_RUN" in _environment(one) or "watchdog" in " ".join(_command(one))]


def _end_forks(root: Path) -> None:
    """The child that a test forked is the test's own: end it here, by its pid, before the next moment."""
    for process in _ours(root):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _ours(root: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get("COORDCHAOS_KILL_TEST") == str(root)]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except (psutil.Error, OSError):
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []


def _files_outside(root: Path) -> set[str]:
    """Whatever lies in the victims' own place for temporary files, and files of ours in the other usual places."""
    places = [place for place in (Path("/dev/shm"), Path.cwd()) if place.is_dir()]
    elsewhere = {str(path) for place in places for path in place.iterdir() if "coordchaos" in path.name.lower()}
    return elsewhere | {str(path) for path in (root / "tmp").iterdir()}
