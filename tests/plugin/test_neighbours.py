"""Every promise of the plugin, under every neighbour it meets."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.plugin.conftest import Suite

NEIGHBOURS = {
    "plain": (),
    "xdist": ("-n2",),
    "junit": ("--junit-xml=junit.xml",),
    "xdist and junit": ("-n2", "--junit-xml=junit.xml"),
    "without xdist": ("-p", "no:xdist"),
    "hypothesis": ("-p", "hypothesispytest"),
    "asyncio auto": ("--asyncio-mode=auto",),
    "warnings are errors": ("-W", "error"),
    "without anyio and asyncio": ("-p", "no:anyio", "-p", "no:asyncio", "-o", "asyncio_default_fixture_loop_scope="),
}
OUTCOMES = {"passed": 4, "failed": 5, "xfailed": 1, "skipped": 1, "errors": 1}
ENDINGS = {
    "test_over": "FAILED *::test_over - pytest_coordchaos.Violated: messages_per_op exceeded: 2 > 1 messages (put, node-to-node)",
    "test_unknown": "FAILED *::test_unknown - pytest_coordchaos.Unknown: messages_per_op*unknown: *",
    "test_marked_without_a_cluster": "FAILED *::test_marked_without_a_cluster - pytest_coordchaos.Unknown: unknown: the test *",
    "test_wrongly_suspected": "FAILED *::test_wrongly_suspected*",
    "test_fails_by_itself": "FAILED *::test_fails_by_itself - AssertionError: assert 'left' == 'right'",
    "test_misspelt": "ERROR *::test_misspelt - Failed: marker coordination_budget(message_per_op=) is not allowed; *",
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_promises(suite: Suite, neighbour: str) -> None:
    """Same outcomes, same exit code, same words, whoever else is there."""
    result = suite.promises().run("-rA", *NEIGHBOURS[neighbour])

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(**OUTCOMES)
    for ending in ENDINGS.values():
        result.stdout.fnmatch_lines([ending])
    result.stdout.fnmatch_lines(["XFAIL *::test_known_offender - a known offender"])
    result.stdout.fnmatch_lines(["SKIPPED * test_promises.py:*: not today"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    _check_summary(result.stdout.str())
    if "--junit-xml=junit.xml" in NEIGHBOURS[neighbour]:
        _check_junit(suite.path / "junit.xml")


def _check_summary(output: str) -> None:
    """One row per run, in order, whoever ran it; and the seed again."""
    section = output.partition("= coordchaos =")[2].partition("\n=")[0]
    rows = [line.split() for line in section.splitlines() if "::" in line]
    assert sorted(row[0].partition("::")[2] for row in rows) == [
        "test_fails_by_itself",
        "test_known_offender",
        "test_over",
        "test_records_without_a_claim",
        "test_skips_itself",
        "test_unknown",
        "test_unknown_allowed",
        "test_within",
        "test_wrongly_suspected",
    ]
    within = next(row for row in rows if row[0].endswith("::test_within"))
    assert within[1:4] == ["1", "(1/0/0)", "2"]
    assert " ".join(within[-5:]) == "messages_per_op[put] held 2 <= 2"
    assert "seed 7 (from --coordchaos-seed); the same plans again: --coordchaos-seed=7" in section


def _check_junit(path: Path) -> None:
    cases = {case.get("name"): case for case in ET.parse(path).iter("testcase")}
    properties = {one.get("name"): one.get("value") for one in cases["test_over"].iter("property")}
    assert {
        "coordchaos.seed": "7",
        "coordchaos.operations": "1",
        "coordchaos.messages_per_op": "2.0",
        "coordchaos.verdict": "violated",
        "coordchaos.budget.messages_per_op[put]": "violated",
        "coordchaos.budget.messages_per_op[put].limit": "1.0",
    }.items() <= properties.items()
    failure = cases["test_over"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("pytest_coordchaos.Violated: messages_per_op exceeded: 2 > 1 messages")
    assert not list(cases["test_within"].iter("failure"))
    assert [one.get("name") for one in cases["test_of_somebody_else"].iter("property")] == ["owner"]


def test_a_run_without_a_terminal_has_the_same_outcomes(suite: Suite) -> None:
    result = suite.promises().run("-p", "no:terminal", "--junit-xml=junit.xml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    totals = ET.parse(suite.path / "junit.xml").getroot()[0].attrib
    assert (totals["tests"], totals["failures"], totals["errors"], totals["skipped"]) == ("12", "5", "1", "2")
    _check_junit(suite.path / "junit.xml")


def test_the_plugin_named_by_hand_where_plugins_are_not_loaded_by_themselves(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    suite.file("pytest.ini", "[pytest]\n")
    result = suite.promises().run("-p", "pytest_coordchaos.plugin")

    result.assert_outcomes(**OUTCOMES)
    _check_summary(result.stdout.str())
    result.stdout.fnmatch_lines(["Reproduce: pytest -p no:cacheprovider -p pytest_coordchaos.plugin --coordchaos *::test_over"])


ASYNC = """
import asyncio, pytest
pytestmark = {mark}
over = pytest.mark.coordination_budget(op="put", messages_per_op=1)

@over
async def test_over(put):
    await asyncio.to_thread(put)

@pytest.mark.xfail(strict=True)
@over
async def test_known_offender(put):
    await asyncio.to_thread(put)

@pytest.mark.coordination_budget(op="put", messages_per_op=2)
async def test_within(put):
    await asyncio.to_thread(put)

@pytest.mark.coordination_budget(op="put", messages_per_op=2)
async def test_unknown(echo):
    await asyncio.sleep(0)
"""


@pytest.mark.parametrize(
    ("mark", "args"),
    [
        ("pytest.mark.asyncio", ("--asyncio-mode=strict",)),
        ("[]", ("--asyncio-mode=auto", "-n2")),
        ("pytest.mark.anyio", ("-k", "asyncio")),
    ],
    ids=["asyncio strict", "asyncio auto and xdist", "anyio"],
)
def test_async_tests_are_judged_like_others(suite: Suite, mark: str, args: tuple[str, ...]) -> None:
    result = suite.file("test_async.py", ASYNC.format(mark=mark)).run(*args)

    assert {name: count for name, count in result.parseoutcomes().items() if name in ("passed", "failed", "xfailed")} == {
        "passed": 1,
        "failed": 2,
        "xfailed": 1,
    }
    result.stdout.fnmatch_lines(["FAILED *::test_over* - pytest_coordchaos.Violated: messages_per_op exceeded: 2 > 1 messages *"])


def test_pdb_is_entered_where_a_verdict_fails_a_test(suite: Suite) -> None:
    suite.promises()
    args = ("-m", "pytest", "--coordchaos", "--pdb", "-p", "no:cacheprovider", "-k", "test_over or test_known_offender")
    result = suite.pytester.run(suite.python, *args, f"--basetemp={suite.path / 'tmp'}", stdin=b"c\n", timeout=120)

    result.stdout.fnmatch_lines(["messages_per_op exceeded: 2 > 1 messages*", ">>>*entering PDB*"])
    assert len(re.findall("entering PDB", result.stdout.str())) == 1
    result.assert_outcomes(failed=1, xfailed=1)
