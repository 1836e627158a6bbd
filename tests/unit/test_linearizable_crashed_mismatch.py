"""Crashed writes beside compare-and-sets that did not match: kinds that are recast must not lead where another's value is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pytest_coordchaos.checkers.frontier import Frontier
from pytest_coordchaos.checkers.linearizable import Budget, examine
from pytest_coordchaos.checkers.registers import cas_register
from pytest_coordchaos.history.readers import read_history
from pytest_coordchaos.verdicts import Status

FOUND = """\
0 :invoke :write 3
0 :info :write :timed-out
4 :invoke :read nil
4 :ok :read 3
7 :invoke :write 12
4 :invoke :cas [3 13]
4 :fail :cas [3 13]
6 :invoke :cas [nil 14]
7 :info :write :timed-out
6 :fail :cas [nil 14]
"""


def _log(lines: str, path: Path):
    path.write_text("".join("INFO  jepsen.util - " + line.replace(" ", "\t", 3) + "\n" for line in lines.splitlines()))
    return read_history(path, "jepsen-log-text")


def test_a_crashed_write_gets_rid_of_a_value_that_another_crashed_write_left(tmp_path: Path) -> None:
    """write 3, read 3, write 12, then both mismatches: an order explains it."""
    history = _log(FOUND, tmp_path / "found.log")

    assert examine(history, cas_register(None), Budget(seconds=10)).status is Status.HELD


@pytest.mark.parametrize("seed", range(8))
def test_histories_with_a_linearization_by_construction_are_held(seed: int, tmp_path: Path) -> None:
    """Mostly unique values, a third of the writes and compare-and-sets crash, mismatches are kept."""
    rng = random.Random(f"crashed mismatch {seed}")
    for number in range(150):
        history = _log(_constructed(rng), tmp_path / f"{number}.log")
        frontier = Frontier([op for op in history if op.outcome != "fail"], cas_register(None))
        for _ in frontier.run():
            pass
        assert frontier.failed_at is None, (tmp_path / f"{number}.log").read_text()


def _constructed(rng: random.Random) -> str:
    """Operations take effect at a random moment between invocation and end, or (crashed) later or never."""
    state: int | None = None
    fresh = 0
    lines: list[str] = []
    waiting: dict[int, tuple[str, object]] = {}  # invoked, not yet in effect
    done: dict[int, str] = {}  # in effect, not yet returned
    late: list[tuple[str, object]] = []  # crashed, may still take effect
    process = 0

    def effect(f: str, value: object) -> str:
        nonlocal state
        if f == "write":
            state = int(str(value))
            return f":ok :write {value}"
        if f == "cas":
            expected, new = value  # type: ignore[misc]  # a pair
            if state != expected:
                return f":fail :cas [{_nil(expected)} {new}]"
            state = new
            return f":ok :cas [{_nil(expected)} {new}]"
        return f":ok :read {_nil(state)}"

    for _ in range(rng.randrange(8, 26)):
        choice = rng.random()
        if choice < 0.4 and len(waiting) + len(done) < 4:
            process, fresh = process + 1, fresh + 1
            f = rng.choice(["read", "write", "cas"])
            value: object = {"read": None, "write": fresh, "cas": (rng.choice([None, state, rng.randrange(fresh + 1)]), fresh)}[f]
            asked = "nil" if f == "read" else value if f == "write" else f"[{_nil(value[0])} {value[1]}]"  # type: ignore[index]  # a pair
            lines.append(f"{process} :invoke :{f} {asked}")
            waiting[process] = (f, value)
        elif choice < 0.65 and waiting:
            one = rng.choice(sorted(waiting))
            done[one] = effect(*waiting.pop(one))
        elif choice < 0.85 and done:
            one = rng.choice(sorted(done))
            ended = done.pop(one)
            crashed = rng.random() < 0.3 and ":read" not in ended
            lines.append(f"{one} :info :{ended.split(':')[2].split()[0]} :timed-out" if crashed else f"{one} {ended}")
        elif choice < 0.93 and waiting:
            one = rng.choice(sorted(waiting))
            if waiting[one][0] != "read":
                lines.append(f"{one} :info :{waiting[one][0]} :timed-out")
                late.append(waiting.pop(one))
        elif late:
            effect(*late.pop(rng.randrange(len(late))))
    return "".join(f"{line}\n" for line in lines)


def _nil(value: object) -> object:
    return "nil" if value is None else value
