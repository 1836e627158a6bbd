"""What a failing test says, word by word, and that its last line can be run."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.plugin.conftest import Suite


def test_a_budget_failure_needs_nothing_else_to_be_read(suite: Suite) -> None:
    """Measured and allowed, contributors, circumstances, seed, and the command; no traceback of ours."""
    result = suite.promises().run("-k", "test_over")

    result.stdout.fnmatch_lines(
        [
            "coordchaos: 0.1.0, seed 7 (from --coordchaos-seed), runtime as each system declares, proxy relay",
            "*= FAILURES =*",
            "*_ test_over _*",
            "messages_per_op exceeded: 2 > 1 messages (put, node-to-node)",
            "  Largest: n1->n2 put 1/op, n2->n1 copied 1/op",
            "  attributed to an operation: 0% of 2 foreground messages",
            "Run: echo, 2 nodes, runtime process; 1 operation (1 ok, 0 fail, 0 info) in * s",
            "Files: *coordchaos*echo-1",
            "Seed: 7",
            "Reproduce: pytest -p no:cacheprovider --coordchaos --coordchaos-seed=7 test_promises.py::test_over",
            "*- Captured coordchaos log of n1 call -*",
            '{"started": *}',
        ],
        consecutive=False,
    )
    assert "plugin.py" not in result.stdout.str()
    assert "conductor.py" not in result.stdout.str()


def test_a_test_that_failed_by_itself_gets_the_verdict_as_a_note(suite: Suite) -> None:
    result = suite.promises().run("-k", "test_fails_by_itself")

    result.stdout.fnmatch_lines(
        [
            '>*assert "left" == "right"',
            "E*AssertionError: assert 'left' == 'right'",
            "E*messages_per_op exceeded: 2 > 1 messages (put, node-to-node)",
        ]
    )


def test_a_test_that_failed_before_it_recorded_anything_says_only_why_it_failed(suite: Suite) -> None:
    """Beside a seed and the command that runs it again."""
    text = "import pytest\n@pytest.mark.invariants('linearizable')\ndef test_early(echo): echo.cut('n1', 'n9')"
    shown = suite.file("test_early.py", text).run().stdout

    shown.fnmatch_lines(["E*UsageError: There is no node 'n9'; *", "Seed: 7", "Reproduce: pytest *::test_early"])
    shown.no_fnmatch_line("E*unknown*")
    shown.no_fnmatch_line("Allow:*")


def test_a_test_that_recorded_nothing_is_told_what_to_do(suite: Suite) -> None:
    result = suite.promises().run("-k", "test_marked_without_a_cluster")

    result.stdout.fnmatch_lines(
        [
            "unknown: the test recorded no operation, so nothing can be said; call run(...) or record(...) of a cluster in it",
            "Reproduce: pytest * --coordchaos --coordchaos-seed=7 test_promises.py::test_marked_without_a_cluster",
            "Allow: @pytest.mark.coordchaos(allow_unknown=True)",
        ]
    )


FAULTS = """
import pytest

@pytest.mark.coordchaos(faults=["pause:n2"], seconds=3)
@pytest.mark.coordination_budget(op="put", messages_per_op=1)
@pytest.mark.parametrize("name", ["it's one", "two"])
def test_paused(echo, name):
    from workload import WORKLOAD
    echo.run(WORKLOAD)
"""
WORKLOAD = """
import asyncio, itertools, json
from pytest_coordchaos import Client, Request, Workload

async def call(connection, call):
    reader, writer = connection
    writer.write(json.dumps({"type": "put", "value": call.value}).encode() + b"\\n")
    await reader.readexactly(len(json.dumps({"type": "put", "value": call.value})) + 1)

def requests(rng):
    while True:
        yield Request(f="put", key="k", value=rng.randrange(1000))

WORKLOAD = Workload(
    name="puts", requests=requests, invariants=(), clients=2, rate_per_s=50,
    client=Client(connect=lambda cluster, node: cluster.open_connection(node, "client"), call=call),
)
"""


def test_the_reproduce_line_runs_the_same_test_with_the_same_plan(suite: Suite) -> None:
    """Copied from a failure into a shell: same test, same seed, same faults at the same planned times."""
    suite.file("test_faults.py", FAULTS).file("workload.py", WORKLOAD)
    first = suite.run("-k", "one", "--coordchaos-report=first")
    command = next(line for line in first.outlines if line.startswith("Reproduce: ")).removeprefix("Reproduce: ")
    second = suite.pytester.run(
        *shlex.split(command), "--coordchaos-report=second", f"--basetemp={suite.path / 'tmp'}", timeout=120
    )

    first.assert_outcomes(failed=1, deselected=1)
    second.assert_outcomes(failed=1)
    one, two = (_report(suite.path / name) for name in ("first", "second"))
    assert one["test"] == two["test"] == "test_faults.py::test_paused[it's one]"
    assert one["test_seed"] == two["test_seed"]
    assert [fault["words"] for fault in one["faults"]] == [fault["words"] for fault in two["faults"]]
    assert one["faults"], one
    first.stdout.fnmatch_lines(["Faults:", "  pause n2, * s to * s*"])


def _report(directory: Path) -> dict[str, object]:
    (path,) = directory.glob("*/*.json")
    loaded: dict[str, object] = json.loads(path.read_text())
    return loaded


def test_the_reproduce_line_of_a_test_outside_the_root_draws_the_same_seed(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--pyargs` names an installed suite; its node ids depend on how it was asked for, its seeds do not."""
    package = tmp_path / "library" / "outside_suite"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "test_out.py").write_text("import pytest\n@pytest.mark.invariants('linearizable')\ndef test_out(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=":")
    first = suite.run("--pyargs", "outside_suite", "--junit-xml=first.xml")
    command = next(line for line in first.outlines if line.startswith("Reproduce: ")).removeprefix("Reproduce: ")
    base = f"--basetemp={suite.path / 'tmp'}"
    second = suite.pytester.run(*shlex.split(command), "--junit-xml=second.xml", base, timeout=120)

    first.assert_outcomes(failed=1)
    second.assert_outcomes(failed=1)
    assert f"--rootdir={suite.path}" in command
    assert _test_seed(suite.path / "first.xml") == _test_seed(suite.path / "second.xml")


def _test_seed(junit: Path) -> str | None:
    (seed,) = [one.get("value") for one in ET.parse(junit).iter("property") if one.get("name") == "coordchaos.test_seed"]
    return seed


def test_reports_of_all_workers_lie_in_one_directory_and_are_whole(suite: Suite) -> None:
    result = suite.promises().run("-n2", "--coordchaos-report=reports", "-k", "within or over")
    (directory,) = (suite.path / "reports").iterdir()

    result.stdout.fnmatch_lines([f"reports: {directory}"])
    assert sorted(path.name for path in directory.iterdir()) == [
        "test_promises.py_test_over-1.history.jsonl",
        "test_promises.py_test_over-1.json",
        "test_promises.py_test_within-1.history.jsonl",
        "test_promises.py_test_within-1.json",
    ]
    report = json.loads((directory / "test_promises.py_test_over-1.json").read_text())
    assert (report["format"], report["version"], report["verdict"]) == ("coordchaos-run", 1, "violated")


def test_a_drawn_seed_is_the_same_in_every_worker(suite: Suite) -> None:
    """Workers parse the command line anew; what nobody gave must reach them, or `Reproduce` would name another plan."""
    text = "".join(f"def test_over_{n}(put):\n    put()\n    assert 0\n" for n in range(4))
    shown = suite.file("test_fails.py", text).alone("--coordchaos", "-n2", "--dist=each", "--tx=2*popen").stdout
    (drawn,) = {line.split()[1] for line in shown.lines if line.startswith("seed ") and "(drawn for this run)" in line}

    assert {line.split()[1] for line in shown.lines if line.startswith("Seed: ")} == {drawn}
    assert len([line for line in shown.lines if line.startswith("Seed: ")]) == 8


def test_nothing_is_written_unless_asked(suite: Suite) -> None:
    before = set(suite.promises().path.iterdir())
    suite.run("-k", "within", "-p", "no:cacheprovider", "-o", "addopts=")
    left = {path.name for path in set(suite.path.iterdir()) - before}

    assert {name for name in left if not name.startswith(("runpytest", "__pycache__", "std"))} == set()


@pytest.mark.parametrize("flag", ["-q", "--no-summary"])
def test_a_quiet_run_prints_no_table(suite: Suite, flag: str) -> None:
    result = suite.promises().run("-k", "within", flag)

    result.assert_outcomes(passed=1, deselected=11)
    result.stdout.no_fnmatch_line("*= coordchaos =*")
    if flag == "-q":
        result.stdout.no_fnmatch_line("coordchaos: *")


def test_a_run_without_clusters_prints_no_table(suite: Suite) -> None:
    result = suite.promises().run("-k", "somebody_else")

    result.stdout.fnmatch_lines(["coordchaos: *"])
    result.stdout.no_fnmatch_line("*= coordchaos =*")
