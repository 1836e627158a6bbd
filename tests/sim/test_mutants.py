"""Mutants: caught or missed, by whom, how soon; the control; and one sentence for a declaration that is off."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos import Call, Client, Mutant, MutantSuite, Port, Request, System, UsageError, Workload, assert_caught
from pytest_coordchaos.cli import main
from pytest_coordchaos.faults.model import Pause
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.mutants.scoring import check, score

PORT = 7000


async def _serve(lost: bool) -> None:
    """A register of one node; where writes are lost, every fifth is answered and forgotten."""
    value, writes = None, 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal value, writes
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["f"] == "write":
                writes += 1
                value = value if lost and writes % 5 == 0 else asked["value"]
            writer.write(json.dumps(value).encode() + b"\n")
        writer.close()

    async with await asyncio.start_server(talk, "0.0.0.0", PORT) as server:
        await server.serve_forever()


async def healthy() -> None:
    """Keeps every write."""
    await _serve(lost=False)


async def forgetful() -> None:
    """Loses some."""
    await _serve(lost=True)


async def _connect(cluster: Any, node: str) -> Any:
    return await cluster.open_connection(node, "rpc")


async def _call(connection: Any, call: Call) -> Any:
    reader, writer = connection
    writer.write(json.dumps({"f": call.f, "value": call.value}).encode() + b"\n")
    return json.loads(await reader.readline())


def _requests(rng: random.Random) -> Iterator[Request]:
    number = 0
    while True:
        number += 1
        yield Request(f="read") if rng.random() < 0.5 else Request(f="write", value=number)


def system(program: Any = healthy, nodes: tuple[str, ...] = ("a",)) -> System:
    """The register."""
    return System.from_coroutines(
        dict.fromkeys(nodes, program),
        name="register",
        ports=[Port("rpc", number=PORT, protocol="json-lines")],
        client=Client(connect=_connect, call=_call),
    )


def workload() -> Workload:
    """Reads and writes."""
    return Workload(name="register", requests=_requests, model="register", rate_per_s=30, clients=2)


FORGETFUL = Mutant(
    name="forgetful",
    doc="loses every fifth write",
    system=partial(system, forgetful),
    workload=workload,
    seconds=2,
    seeds=5,
    caught_by=("linearizable",),
)
NONE = replace(FORGETFUL, name="none", doc="is not broken at all", system=system, seeds=2)
SUITE = MutantSuite(name="register", healthy=system, mutants=(FORGETFUL, NONE), not_here={"torn": "it has no disk"})
WRONG_CONTROL = MutantSuite(name="alarming", healthy=partial(system, forgetful), mutants=(FORGETFUL,))
HERE = f"{__name__}:"


def test_a_table_lines_and_the_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"

    assert main(["mutants", f"{HERE}SUITE", "--json", str(file), "--jobs", "2"]) == 1
    shown = capsys.readouterr().out.splitlines()

    assert shown[0].split() == ["system", "mutant", "caught", "by", "seeds", "what", "is", "broken"]
    assert shown[1].split() == ["register", "forgetful", "linearizable", "1", "loses", "every", "fifth", "write"]
    assert shown[2].split() == ["register", "none", "MISSED", "2", "is", "not", "broken", "at", "all"]
    assert shown[-2:] == ["register: 1 of 2 caught; seeds median 1, worst 1", "register not here: torn it has no disk"]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [{name: line[name] for name in ("system", "mutant", "caught", "by", "seeds")} for line in lines]
    assert kept == [
        {"system": "register", "mutant": "forgetful", "caught": True, "by": "linearizable", "seeds": 1},
        {"system": "register", "mutant": "none", "caught": False, "by": None, "seeds": 2},
    ]


def test_one_mutant_by_name_and_a_good_score_is_a_good_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", f"{HERE}SUITE", "forgetful", "--control", "2"]) == 0
    assert "none" not in capsys.readouterr().out.split()


def test_a_list_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", f"{HERE}SUITE", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "register forgetful: loses every fifth write (no faults; caught by linearizable)"
    )


def test_a_healthy_system_that_is_accused_is_a_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", f"{HERE}WRONG_CONTROL"]) == 1
    assert "FALSE ALARM: the healthy system, seed 0 linearizable: violated" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="false alarm: the healthy alarming in place of mutant forgetful: seed 0 linear"):
        assert_caught(WRONG_CONTROL, FORGETFUL)


def test_a_missed_mutant_fails_a_test_and_a_caught_one_brings_its_run() -> None:
    with pytest.raises(AssertionError, match="mutant none of register was missed in 2 seeds: is not broken at all"):
        assert_caught(SUITE, NONE)
    run = assert_caught(SUITE, FORGETFUL).failed
    assert run is not None
    assert run.history.operations


def test_a_violation_that_the_mutant_does_not_name_is_not_its_catch() -> None:
    """Whatever else goes wrong: the invariant that was named did not notice."""
    slow = replace(FORGETFUL, budgets={"p99_ms": 1000.0}, caught_by=("p99_ms",), seeds=2)
    (found,) = score([(SUITE, slow)], control=0)

    assert not found.caught
    assert "linearizable: violated" in found.said


async def _pause(cluster: LiveCluster, rng: random.Random) -> None:
    paused = await cluster.apply(Pause("a"))
    await cluster.clock.sleep(0.2)
    await paused.undo()


def test_a_script_and_an_end_that_demands_progress() -> None:
    mutant = replace(FORGETFUL, script=_pause, progress_s=1.0)

    (found,) = score([(SUITE, mutant)])

    assert found.good
    assert found.failed is not None
    assert [fault.words for fault in found.failed.faults] == ["pause a"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"caught_by": ()}, r"caught_by=\(\) is not allowed; some of what is judged: linearizable"),
        ({"caught_by": ("progress",)}, "caught_by=.* some of what is judged: linearizable"),
        ({"invariants": ("fair",)}, "invariant 'fair' is not known; allowed: .*linearizable"),
        ({"options": {"colour": 1}}, "options colour belong to none of its invariants"),
        ({"options": {"budget_s": -1}}, "budget_s=-1 is not allowed"),
        ({"budgets": {"kindness": 1}}, "kindness.* is not known; allowed: messages_per_op"),
        ({"budgets": {"p99_ms[write]": -1}}, "p99_ms=-1.* is not allowed"),
        ({"faults": ("flood",)}, "flood"),
        ({"faults": "kill:a"}, "is one text"),
        ({"faults": ("kill:b",)}, "names no node of the system; allowed: .*kill:a"),
        ({"faults": ("kill:a",), "seconds": 0.1}, "is too short"),
        ({"faults": ("kill:a",), "script": _pause}, "give one of the two"),
        ({"seconds": -1}, "seconds=-1 is not allowed"),
        ({"seeds": 0}, "seeds=0 is not allowed"),
        ({"system": partial(system, forgetful, ("a", "b"))}, "different nodes: a and a, b"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_a_declaration_that_is_off_is_refused_before_anything_runs(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        check([(SUITE, replace(FORGETFUL, **change))])
    assert str(refused.value).startswith("mutant forgetful of register: ")


def test_two_mutants_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="the name 'forgetful' is given twice"):
        MutantSuite(name="x", healthy=system, mutants=(FORGETFUL, FORGETFUL))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody:MUTANTS"], "names no suite of mutants"),
        ([f"{HERE}system"], "is a function; wanted: a MutantSuite"),
        ([f"{HERE}SUITE", "lost"], r"'lost' is no system .* and no mutant of those asked for \(forgetful, none\)"),
        ([f"{HERE}SUITE", "--json", "."], "give the name of a new file"),
        ([f"{HERE}SUITE", "--jobs", "0"], "'0' is not allowed"),
    ],
    ids=str,
)
def test_bad_words_are_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", *words]) == 64
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("coordchaos mutants: ")
    assert re.search(said, error)
