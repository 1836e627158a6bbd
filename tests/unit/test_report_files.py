"""The files of --coordchaos-report: whole, versioned, and never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_coordchaos.cost.ledger import Ledger, LinkId, Message
from pytest_coordchaos.history.jsonl import parse_jsonl
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome
from pytest_coordchaos.report.json_report import document, file_stem, history_lines, write
from pytest_coordchaos.run import Run, RunFault
from pytest_coordchaos.verdicts import Status, Verdict

LINK = LinkId("n1", "n2", "peer")


def message(at_ns: int, delivered: bool) -> Message:
    return Message(
        offered_ns=at_ns,
        delivered_ns=at_ns + 5 if delivered else None,
        link=LINK,
        sender="n1",
        receiver="n2",
        message_class="append",
        size_bytes=100,
    )


def operation(number: int, outcome: Outcome, **rest: object) -> Operation:
    ended = 2_000 + number * 10
    values = {"process": 0, "f": "put", "key": "k", "value": number, "intended_ns": 1_000 + number, "invoke_ns": 1_005 + number}
    returned = INFINITY_NS if outcome is Outcome.INFO else ended
    return Operation(id=number, outcome=outcome, return_ns=returned, ended_ns=ended, **(values | rest))  # type: ignore[arg-type]


HISTORY = History.of(
    [
        operation(1, Outcome.OK, f="get", value=None, result=[1, {"a": None}]),
        operation(2, Outcome.FAIL, error="no leader", node="n3"),
        operation(3, Outcome.INFO, error="TimeoutError: "),
        operation(4, Outcome.OK, key=None, result=0),
    ]
)
RUN = Run(
    test="tests/test_kv.py::test_a[x/y-1]",
    system="kv",
    runtime="process",
    nodes=3,
    seed=9,
    start_ns=1_000_000_000,
    end_ns=3_000_000_000,
    faults=(RunFault(id="1", words="pause n1", start_ns=1_500_000_000),),
    history=HISTORY,
    ledger=Ledger(messages=(message(1, True), message(2, False), message(3, True))),
    verdicts=(Verdict(name="p99_ms", status=Status.HELD, summary="s", kind="budget", measured=1.5, limit=2, unit="ms"),),
    logs={"n1": ("hello",)},
)


def test_the_document_is_json_with_a_format_and_a_version() -> None:
    made = document(RUN, run_id="r1", seed=7)

    assert json.loads(json.dumps(made)) == made
    assert (made["format"], made["version"], made["run_id"], made["seed"], made["test_seed"]) == ("coordchaos-run", 1, "r1", 7, 9)
    assert made["verdict"] == "held"
    assert made["faults"] == [
        {"id": "1", "words": "pause n1", "verified": True, "note": "", "start_s": 0.5, "end_s": None},
    ]


def test_the_document_sums_messages_by_link_direction_and_class() -> None:
    ledger = document(RUN, run_id="r1", seed=7)["ledger"]

    assert isinstance(ledger, dict)
    assert ledger["messages"] == [
        {"link": "n1->n2:peer", "sender": "n1", "receiver": "n2", "class": "append", "offered": 3, "delivered": 2, "bytes": 300}
    ]


def test_the_history_reads_back_as_it_was() -> None:
    assert parse_jsonl(b"".join(history_lines(HISTORY))) == HISTORY


def test_each_run_gets_files_of_its_own_and_none_is_overwritten(tmp_path: Path) -> None:
    paths = [write(RUN, directory=tmp_path, run_id="r1", seed=7) for _ in range(3)]
    first = paths[0].read_bytes()

    assert [path.name for path in paths] == [f"tests_test_kv.py_test_a_x_y-1-{k}.json" for k in (1, 2, 3)]
    assert parse_jsonl((tmp_path / "r1" / "tests_test_kv.py_test_a_x_y-1-2.history.jsonl").read_bytes()) == HISTORY
    assert json.loads(first)["test"] == RUN.test
    assert sorted(path.name for path in (tmp_path / "r1").iterdir() if path.name.startswith(".")) == []


def test_somebody_elses_file_of_that_name_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "r1" / "tests_test_kv.py_test_a_x_y-1-1.json"
    theirs.parent.mkdir()
    theirs.write_text("theirs")

    assert write(RUN, directory=tmp_path, run_id="r1", seed=7).name.endswith("-2.json")
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("test", "stem"),
    [
        ("tests/test_a.py::TestB::test_c[1-2.5]", "tests_test_a.py_TestB_test_c_1-2.5"),
        ("../../etc/passwd::x", "etc_passwd_x"),
        ("", "run"),
        ("t.py::t[äöü]", "t.py_t"),
    ],
)
def test_a_tests_name_becomes_a_file_name(test: str, stem: str) -> None:
    """No separators, nothing hidden, nothing above the directory."""
    assert file_stem(test) == stem


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = file_stem("x" * 300 + "1"), file_stem("x" * 300 + "2")

    assert len(one) == len(other) == 100
    assert one != other
