"""`breakpoint()` in a simulated node, at a real terminal and without one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, time

async def main():
    await asyncio.sleep(5)
    before, colour = time.monotonic(), "green"
    breakpoint()
    print("stood still:", time.monotonic() == before, colour, flush=True)
    await asyncio.sleep(10**6)
"""
TEST = """
import program
from pytest_coordchaos import System

def test_it(coordchaos):
    with coordchaos.start(System.from_coroutines({"n1": program.main})) as cluster:
        cluster.wait_until(lambda: "stood still" in cluster.log("n1") or cluster.state("n1") == "dead")
        assert "stood still: True blue" in cluster.log("n1"), cluster.log("n1")
"""
COMMAND = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--coordchaos", "test_it.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_it.py").write_text(TEST)
    return tmp_path


class Terminal:
    """Somebody at a terminal."""

    def __init__(self, folder: Path) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execv(COMMAND[0], COMMAND)
        self.shown = ""

    def until(self, words: str, seconds: float = 120.0) -> None:
        """Read until these words have come."""
        deadline = time.monotonic() + seconds
        while words not in self.shown:
            assert select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))[0], f"no {words!r} in {self.shown}"
            try:
                self.shown += os.read(self._end, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended without {words!r}: {self.shown}") from None

    def type(self, line: str) -> None:
        self.shown = ""
        os.write(self._end, line.encode() + b"\n")

    def close(self) -> int:
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._end)
        return os.waitstatus_to_exitcode(status)


def test_a_developer_at_a_terminal_gets_a_prompt_inside_the_node(folder: Path) -> None:
    terminal = Terminal(folder)
    terminal.until("(Pdb) ")
    assert "--- pdb in n1#0 at " in terminal.shown
    terminal.type("p colour")
    terminal.until("(Pdb) ")
    assert "'green'" in terminal.shown
    terminal.type("colour = 'blue'")
    terminal.until("(Pdb) ")
    terminal.type("c")
    terminal.until("1 passed")

    assert terminal.close() == 0


def test_without_a_terminal_it_is_refused_with_a_sentence(folder: Path) -> None:
    done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, start_new_session=True, timeout=120, check=False)

    assert done.returncode == 1
    assert "breakpoint(): the simulation's process has no terminal" in done.stdout
