"""`coordchaos campaign` and `coordchaos trace`: one test with many seeds, whole where it must be, and where two runs part."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_coordchaos.simulation.fingerprint import changes, fingerprint, short
from pytest_coordchaos.simulation.trace_files import compare, first_difference, write

TESTS = """
import pytest

@pytest.mark.coordchaos(nodes=3, seconds=2, faults=["pause:one"])
@pytest.mark.coordination_budget(messages_per_op=1)
def test_too_dear(raft_kv):
    raft_kv.run("register", rate_per_s=20)

@pytest.fixture
def old(raft_kv):
    leader = raft_kv.leader()
    raft_kv.kill(leader)
    yield leader

def test_body(raft_kv, old):
    "Its fixture, its verbs and its assertions belong to every seed."
    raft_kv.wait_until(lambda: raft_kv.leader() != old)
    with raft_kv.partition({old}, set(raft_kv.nodes) - {old}):
        run = raft_kv.run("register", seconds=1, rate_per_s=20)
    assert raft_kv.leader() == "n2", "a leader of the seed"

@pytest.mark.coordchaos(nodes=3, seconds=2, faults=["pause:one", "slow"])
@pytest.mark.coordination_budget(messages_per_op=1)
def test_explores(raft_kv):
    found = raft_kv.explore("register", seeds=range(5, 100), rate_per_s=20)
    print("HASH", found.results[0].trace_hash)

def test_without(request):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with these tests."""
    (tmp_path / "test_kv.py").write_text(TESTS)
    return tmp_path


def coordchaos(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_coordchaos.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder, check=False)


def lines_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_campaign_writes_a_line_a_seed_and_goes_on_where_it_was(folder: Path) -> None:
    base = ("campaign", "test_kv.py::test_too_dear", "--json", "out.jsonl", "--keep-going")
    first = coordchaos(folder, *base, "--seeds", "0:4", "--shard", "1/2")

    assert first.returncode == 1, first.stdout + first.stderr
    assert "whole test" not in first.stdout, "one call of run is simulated alone"
    assert "seed 0 violated: messages_per_op exceeded" in first.stdout
    assert "Reproduce: coordchaos campaign test_kv.py::test_too_dear --seeds 0" in first.stdout
    lines = lines_of(folder / "out.jsonl")
    assert [line["seed"] for line in lines[1:]] == [0, 2]
    assert {"verdict", "trace_hash", "operations", "virtual_s", "wall_s", "faults"} <= set(lines[1])

    with (folder / "out.jsonl").open("a") as file:
        file.write('{"seed": 1, "faults": {}')  # stopped in the middle of a line
    again = coordchaos(folder, *base, "--seeds", "0:3")
    assert "1 seeds in" in again.stdout, again.stdout + again.stderr
    assert [line["seed"] for line in lines_of(folder / "out.jsonl")[1:]] == [0, 2, 1]
    other = coordchaos(folder, *base, "--seeds", "0:3", "--all-faults")
    assert other.returncode == 64
    assert "out.jsonl is of other runs (swarm: True, now False)" in other.stderr


def test_a_replay_states_the_environment_and_says_in_what_it_differs(folder: Path) -> None:
    base = ("campaign", "test_kv.py::test_too_dear", "--seeds", "2")
    first = coordchaos(folder, *base, "--json", "out.jsonl")
    (command,) = (line for line in first.stdout.splitlines() if line.startswith("Reproduce: "))
    expected = command.split()[-1]
    assert set(lines_of(folder / "out.jsonl")[0]["environment"]) == {"python", "machine", "hash_seed", "packages", "program"}  # type: ignore[call-overload]  # a mapping

    (folder / "test_kv.py").write_text(TESTS + "\n# changed\n")
    resumed = coordchaos(folder, *base, "--json", "out.jsonl", "--fingerprint", expected)
    assert "these may be other runs than those of the same seeds before: program differs" in resumed.stdout
    assert resumed.returncode == 64
    assert "out.jsonl is of other runs (program: test_kv " in resumed.stderr


def test_what_changed_between_two_environments_is_named() -> None:
    now = fingerprint({"shop.node": "aa", "shop.api": "bb"})
    before = {**now, "python": "CPython 3.10.0", "program": {"shop.node": "aa", "shop.gone": "cc"}}

    assert changes(now, now) == changes(short(now), now) == []
    assert changes(short(before), now) == ["python differs", "program differs"]
    assert changes(before, now) == [
        f"python: CPython 3.10.0, now {now['python']}",
        "program: shop.api -, now bb",
        "program: shop.gone cc, now -",
    ]
    assert "pytest" in now["packages"]


def test_a_seed_that_an_exploration_found_is_replayed_alone(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--coordchaos", "--coordchaos-runtime=sim", "-s"]
    found = subprocess.run(
        [*command, "test_kv.py::test_explores"], capture_output=True, text=True, timeout=240, cwd=folder, check=False
    )
    # Where CI is set, pytest's summary has the whole line once more.
    (words,) = set(re.findall(r"this seed alone: coordchaos (campaign \S+ --seeds 5)\n", found.stdout))
    (digest,) = re.findall(r"HASH (\w+)", found.stdout)

    assert coordchaos(folder, *words.split(), "--json", "out.jsonl").returncode == 1
    assert [line["trace_hash"] for line in lines_of(folder / "out.jsonl")[1:]] == [digest]


def test_a_test_that_does_more_is_run_whole_with_every_seed(folder: Path) -> None:
    done = coordchaos(folder, "campaign", "test_kv.py::test_body", "--seeds", "0:6", "--keep-going", "--json", "out.jsonl")

    assert "every seed runs the whole test" in done.stdout, done.stderr
    seeds = lines_of(folder / "out.jsonl")[1:]
    assert [line["seed"] for line in seeds] == list(range(6))
    assert {line["verdict"] for line in seeds} == {"held", "violated"}, "leaders differ by seed"
    assert {line["summary"] for line in seeds if line["verdict"] == "violated"} == {"AssertionError: a leader of the seed"}
    assert all(line["faults"] == {"kill": 1, "partition": 1} and line["partitions"] for line in seeds)
    assert len({line["trace_hash"] for line in seeds}) == 6
    assert "each was the same run" in done.stdout
    assert done.returncode == 1


def test_a_test_without_a_cluster_and_a_name_of_several_are_refused(folder: Path) -> None:
    for name, words in (("test_kv.py::test_without", "makes no simulated run"), ("test_kv.py", "names 4 tests")):
        done = coordchaos(folder, "campaign", name)
        assert done.returncode == 64
        assert words in done.stderr


def test_traces_of_seeds_are_files_for_people_and_are_compared_at_their_first_difference(folder: Path) -> None:
    for seed, name in ((3, "a"), (4, "b")):
        done = coordchaos(folder, "campaign", "test_kv.py::test_too_dear", "--seeds", str(seed), "--trace", name)
        assert done.returncode == 1, done.stderr
    lines = (folder / "a").read_text().splitlines()

    assert '"seed": 3' in lines[0]
    assert sum(" n1#0 send " in line for line in lines) > 10
    assert any(line.endswith(" main") and " n2#0 step " in line for line in lines)
    assert (same := coordchaos(folder, "trace", "diff", "a", "a")).returncode == 0, same.stderr
    other = coordchaos(folder, "trace", "diff", "a", "b", "--context", "1")
    assert other.returncode == 1
    assert "seed: 3 | 4\n" in other.stdout
    assert coordchaos(folder, "trace", "diff", "a", "test_kv.py").returncode == 64


def test_a_difference_is_shown_with_the_lines_around_it(tmp_path: Path) -> None:
    write(tmp_path / "one", {"seed": 1}, ["same", "same again", "x 1", "x 2", "x 3"])
    write(tmp_path / "other", {"seed": 1}, ["same", "same again", "y"])

    text, same = compare(tmp_path / "one", tmp_path / "other", context=1)

    assert not same
    assert text == "first difference at step 3:\n  same again\n- x 1\n- x 2\n+ y"
    assert first_difference(["a"], ["a"]) is None
    found = first_difference(["a"], ["a", "b"])
    assert found is not None
    assert (found.number, found.one, found.other) == (2, ("(the end)",), ("b",))
