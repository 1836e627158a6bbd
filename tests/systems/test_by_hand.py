"""Reference systems run by hand: they answer, and nothing of them outlives the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from reference_systems.kit.nursery import free_ports

RAFT = [sys.executable, "-m", "reference_systems.raft_kv"]


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A Raft store of three nodes, as somebody types it."""
    words = [*RAFT, "--dir", str(tmp_path / "raft"), "--option", "snapshot_every_entries=100"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def _said(running: subprocess.Popen[str], *, until: str) -> list[str]:
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line.rstrip())
        if until in line:
            return lines
    raise AssertionError(f"it ended without {until!r}: {lines}")


def _ask(directory: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([*RAFT, "ask", str(directory), *words], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout or done.stderr).strip()


def test_it_runs_answers_and_ends(by_hand: subprocess.Popen[str], tmp_path: Path) -> None:
    said = _said(by_hand, until="Ctrl-C ends it")
    nodes = psutil.Process(by_hand.pid).children()

    assert len(nodes) == 3
    assert said[0].startswith("n1: peer 127.0.0.1:")
    assert json.loads((tmp_path / "raft" / "n2" / "node.json").read_text())["options"] == {"snapshot_every_entries": 100}
    assert _ask(tmp_path / "raft", "put", "k", "[1, 2]") == (0, "null")
    assert _ask(tmp_path / "raft", "get", "k", "--node", "n3") == (0, "[1, 2]")
    assert _ask(tmp_path / "raft", "cas", "k", "1")[0] == 1
    assert _ask(tmp_path / "raft", "get", "k", "--node", "n4") == (64, "there is no node 'n4'; there are: n1, n2, n3")
    again = subprocess.run([*RAFT, "--dir", str(tmp_path / "raft")], capture_output=True, text=True, check=False)
    assert (again.returncode, "is in use by a cluster that runs" in again.stderr) == (64, True)

    nodes[1].kill()
    assert _said(by_hand, until="its log says")[-1] == "n2 ended with status -9; its log says:"
    by_hand.send_signal(signal.SIGTERM)
    assert by_hand.wait(10) == 0
    assert psutil.wait_procs(nodes, 10)[1] == []


def test_its_nodes_die_with_it(by_hand: subprocess.Popen[str]) -> None:
    _said(by_hand, until="Ctrl-C ends it")
    nodes = psutil.Process(by_hand.pid).children()

    by_hand.kill()

    assert len(nodes) == 3
    assert psutil.wait_procs(nodes, 10)[1] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--option", "colour=1"], "raft_kv has no option colour"),
        (["--option", "colour"], "--option 'colour' is not allowed; NAME=VALUE"),
        (["--nodes", "0"], "nodes=0 is not allowed"),
        (["--nodes", "many"], "invalid int value: 'many'"),
        (["ask", "/nowhere", "get", "k"], "/nowhere is no directory of a cluster"),
    ],
    ids=str,
)
def test_bad_words_start_nothing(words: list[str], said: str) -> None:
    done = subprocess.run([*RAFT, *words], capture_output=True, text=True, check=False)

    assert done.returncode == 64
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ports_are_below_those_that_the_kernel_hands_out() -> None:
    ports = free_ports(8)
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert len(set(ports)) == 8
    assert all(1024 < port < max(first, 11_000) for port in ports)
