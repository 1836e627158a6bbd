"""`coordchaos check`: exit codes, manifests, and one sentence for everything that is off."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_coordchaos.cli import main
from pytest_coordchaos.cli_check import parse_model
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.recorder import Recorder

GOOD = "{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1}\n"
BAD = GOOD + "{:process 0, :type :invoke, :f :read, :value nil}\n{:process 0, :type :ok, :f :read, :value 2}\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a good, a bad, an empty and an unreadable history."""
    (tmp_path / "good.edn").write_text(GOOD)
    (tmp_path / "bad.edn").write_text(BAD)
    (tmp_path / "empty.edn").write_text("")
    (tmp_path / "broken.edn").write_text("[")
    return tmp_path


def manifest(folder: Path, *lines: str, header: str = "file\tformat\tmodel\tverdict") -> Path:
    """A manifest of these lines."""
    path = folder / "MANIFEST.tsv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("file", "code", "said"), [("good", 0, "held"), ("bad", 1, "violated"), ("empty", 0, "held (no operations)")]
)
def test_one_file(files: Path, capsys: pytest.CaptureFixture[str], file: str, code: int, said: str) -> None:
    """The verdict in words, and as an exit code."""
    assert main(["check", str(files / f"{file}.edn"), "--format", "jepsen-edn"]) == code
    assert said in capsys.readouterr().out


def test_violation_prints_the_operations(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readable without opening the file."""
    assert main(["check", str(files / "bad.edn"), "--format", "edn-lines", "--model", "register"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == "linearizable: violated, an operation saw what nobody wrote"
    assert second.endswith("read -> 2")


def test_our_own_format_is_the_default(tmp_path: Path) -> None:
    """What a run has recorded can be checked again."""
    path = tmp_path / "history.jsonl"
    record = Recorder(path, iter(range(100)).__next__)
    record.ok(record.invoke(0, "put", "k", 1), None)
    record.ok(record.invoke(0, "get", "k", None), 1)
    assert main(["check", str(path)]) == 0
    record.ok(record.invoke(0, "get", "k", None), None)
    assert main(["check", str(path)]) == 1


def test_unknown_is_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No model fits: neither good nor bad."""
    path = tmp_path / "h.edn"
    path.write_text("{:process 0, :type :invoke, :f :checkout, :value 1}")
    assert main(["check", str(path), "--format", "jepsen-edn"]) == 2
    assert "no model fits the operations checkout; give --model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 64, "the following arguments are required: COMMAND"),
        (["chek"], 64, "invalid choice: 'chek'"),
        (["check"], 64, "give either FILE or --manifest MANIFEST"),
        (["check", "{}/good.edn", "--manifest", "{}/M"], 64, "give either FILE or --manifest MANIFEST"),
        (["check", "{}/good.edn", "--format", "xml"], 64, "invalid choice: 'xml'"),
        (
            ["check", "{}/good.edn", "--format", "edn-lines", "--model", "stack"],
            64,
            "model 'stack' is not known; allowed: register",
        ),
        (["check", "{}/good.edn", "--budget-s", "0"], 64, "'0' is not allowed; a number of seconds above 0"),
        (["check", "{}/good.edn", "--jobs", "none"], 64, "'none' is not allowed; a number from 1 to 256"),
        (["check", "{}/missing.edn"], 65, "missing.edn: cannot be read: No such file"),
        (["check", "{}/broken.edn", "--format", "jepsen-edn"], 65, "broken.edn, line 1: '[' is never closed"),
        (["check", "--manifest", "{}/missing.tsv"], 65, "missing.tsv: cannot be read: No such file"),
    ],
)
def test_bad_usage_and_unreadable_files(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    """64 for bad usage, 65 for files; never 1 or 2, which are verdicts."""
    assert main([word.format(files) for word in words]) == code
    assert sentence in capsys.readouterr().err


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Documented where people look; the list of commands does not load them."""
    assert main(["check", "--help"]) == 0
    out = capsys.readouterr().out
    assert "exit codes:" in out
    assert all(code in out for code in ("  0  ", "  1  ", "  2  ", "  64  ", "  65  "))
    assert main(["--help"]) == 0
    assert "check a recorded history" in capsys.readouterr().out


def test_a_manifest_that_agrees(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line at the end; columns are found by name, others are passed over."""
    path = manifest(
        files,
        "linearizable\tx\tgood.edn\tjepsen-edn\tcas-register",
        "not-linearizable\tx\tbad.edn\tjepsen-edn\tcas-register(int, nil initial)",
        "linearizable\tx\tempty.edn\tjepsen-edn\tregister",
        header="verdict\tlicense\tfile\tformat\tmodel",
    )
    assert main(["check", "--manifest", str(path)]) == 0
    assert capsys.readouterr().out == "agree 3, disagree 0, unknown 0, unreadable 0\n"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_manifest_that_does_not_agree(files: Path, capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    """Each file that does not agree has one line; the run goes on."""
    path = manifest(
        files,
        "good.edn\tjepsen-edn\tcas-register\tlinearizable",
        "bad.edn\tjepsen-edn\tcas-register\tlinearizable",
        "missing.edn\tjepsen-edn\tcas-register\tlinearizable",
        "broken.edn\tjepsen-edn\tcas-register\tlinearizable",
        "good.edn\txml\tcas-register\tlinearizable",
        "good.edn\tjepsen-edn\tstack\tlinearizable",
        "good.edn\tjepsen-edn\tcas-register\tfine",
    )
    assert main(["check", "--manifest", str(path), "--jobs", jobs]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "agree 1, disagree 1, unknown 0, unreadable 5"
    assert lines[0] == "disagree    bad.edn  listed as linearizable, found not-linearizable"
    assert "(line 4)" in lines[1]
    assert "missing.edn: cannot be read" in lines[1]
    assert len(lines) == 7


def test_verbose_names_every_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With -v also those that agree."""
    path = manifest(files, "good.edn\tjepsen-edn\tcas-register\tlinearizable")
    assert main(["check", "-v", "--manifest", str(path)]) == 0
    assert capsys.readouterr().out.startswith("agree       good.edn  listed as linearizable, found linearizable\n")


def test_unknown_files_do_not_agree(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A budget that is used up is no agreement, whatever the verdict would have been."""
    writes = [f"{{:process {n}, :type :invoke, :f :txn, :value [[:w :x {n}]]}}" for n in range(1, 14)]
    read = [f"{{:process 99, :type {kind}, :f :txn, :value [[:r :x 77]]}}" for kind in (":invoke", ":ok")]
    ends = [line.replace(":invoke", ":ok") for line in writes]
    (files / "hard.edn").write_text("\n".join([*writes, *read, *ends]))
    path = manifest(files, "hard.edn\tedn-lines\tmulti-register\tnot-linearizable")
    assert main(["check", "--manifest", str(path), "--budget-s", "1e-9"]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == "unknown     hard.edn  listed as not-linearizable; the budget of 1e-09 s was used up"
    assert last == "agree 0, disagree 0, unknown 1, unreadable 0"
    assert main(["check", str(files / "hard.edn"), "--format", "edn-lines", "--budget-s", "1e-9"]) == 2
    assert main(["check", "--manifest", str(path)]) == 0


@pytest.mark.parametrize(
    ("lines", "header", "sentence"),
    [
        ((), "file\tformat\tmodel\tverdict", "no file is listed; wanted at least one line below the header"),
        (("a\tb",), "file\tformat", "no column model, verdict; wanted a tab-separated header with file, format, model, verdict"),
        ((), "", "no column file, format, model, verdict"),
    ],
)
def test_manifests_that_are_off(
    files: Path, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...], header: str, sentence: str
) -> None:
    """Usage errors: nothing is half checked; an empty list is no agreement."""
    assert main(["check", "--manifest", str(manifest(files, *lines, header=header))]) == 64
    assert sentence in capsys.readouterr().err


def test_a_row_or_file_that_is_off_counts_as_unreadable_and_costs_no_other_verdict(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = files / "huge.edn"
    huge.write_text(f"{{:process 0 :type :invoke :f :write :value {'9' * 5000}}}\n")
    rows = ("good.edn\tjepsen-edn\t\tlinearizable", "huge.edn\tjepsen-edn\tcas-register\tlinearizable", "short.edn")
    assert main(["check", "--manifest", str(manifest(files, *rows))]) == 1
    shown = capsys.readouterr().out

    assert "nothing in column model" in shown
    assert shown.splitlines()[-1] == "agree 0, disagree 0, unknown 0, unreadable 3"
    assert main(["check", str(huge), "--format", "jepsen-edn", "--model", "cas-register"]) == 65


@pytest.mark.parametrize(
    ("text", "format", "options"),
    [
        ("cas-register", "jepsen-edn", {"model": "cas-register", "initial": 0, "nil_reads_unknown": True}),
        ("cas-register", "jepsen-log-text", {"model": "cas-register"}),
        ("cas-register(int, nil initial)", "jepsen-log-text", {"model": "cas-register", "initial": None}),
        ("cas-register(int, nil initial)", "jepsen-edn", {"model": "cas-register", "initial": None}),
        ("register (initial: 5)", "edn-lines", {"model": "register", "initial": 5}),
        ("register(3)", "jepsen-edn", {"model": "register", "initial": 3, "nil_reads_unknown": True}),
        ("register, initial nil", "jepsen-edn", {"model": "register", "initial": None}),
        ("key-value", "edn-lines", {"model": "key-value", "initial": ""}),
        ("multi-register", "jepsen-json", {"model": "multi-register", "initial": 0, "nil_reads_unknown": True}),
        ("mutex", "jepsen-edn", {"model": "mutex"}),
        ("kv get/put/append per key", "edn-lines", {"model": "key-value", "initial": ""}),
        ("key-value", "coordchaos-jsonl", {"model": "key-value"}),
    ],
)
def test_models_as_manifests_write_them(text: str, format: str, options: dict[str, object]) -> None:
    """By leading word, with the format's conventions unless the model says otherwise."""
    assert parse_model(text, format) == options


def test_a_model_nobody_knows() -> None:
    """One sentence with what is allowed."""
    with pytest.raises(UsageError, match=r"model 'list-append' is not known; allowed: register, cas-register"):
        parse_model("list-append", "jepsen-edn")
