"""The hooks that others can implement."""

from __future__ import annotations

import inspect

import pytest

from pytest_coordchaos import hookspecs
from tests.plugin.conftest import Suite

CONFTEST = """
from pytest_coordchaos import Status, Verdict
from pytest_coordchaos.checkers.invariant import Invariant

def check(history, options):
    count = sum(op.invoke_ns >= options["window_start_ns"] for op in history)
    status = Status.HELD if count <= options.get("most", 0) else Status.VIOLATED
    return Verdict(name="few", status=status, summary=f"few: {status} ({count} operations)")

def pytest_coordchaos_invariants(config):
    return {"few": Invariant(name="few", check=check, options=frozenset({"most"}), doc="few operations")}

def pytest_coordchaos_reporters(config):
    def tell(run):
        with open("told.txt", "a") as file:
            print(run.test, run.status, file=file)
    def fail(run):
        raise OSError("disk full")
    return {"tell": tell, "fail": fail}
"""
TESTS = """
import pytest

@pytest.mark.invariants("few", most=1)
def test_few(put): put()

@pytest.mark.invariants("few", most=1)
def test_many(put): put(); put()
"""


def test_invariants_and_reporters_of_a_conftest_take_part(suite: Suite) -> None:
    """Checked and reported like built-in ones; a reporter that fails is shown and changes no verdict."""
    suite.file("conftest.py", (suite.path / "conftest.py").read_text() + CONFTEST).file("test_few.py", TESTS)
    result = suite.run()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["few: violated (2 operations)"])
    result.stdout.fnmatch_lines(["reporter 'fail' failed on test_few.py::test_few: OSError: disk full"])
    assert (suite.path / "told.txt").read_text() == "test_few.py::test_few held\ntest_few.py::test_many violated\n"
    quiet = suite.run("-q", "-k", "test_few")
    quiet.stdout.fnmatch_lines(["reporter 'fail' failed on test_few.py::test_few: OSError: disk full"])
    quiet.stdout.no_fnmatch_line("test * operations *")


def test_a_name_given_twice_is_an_error_that_names_it(suite: Suite) -> None:
    twice = CONFTEST.replace('{"few": Invariant', '{"linearizable": Invariant')
    suite.file("conftest.py", (suite.path / "conftest.py").read_text() + twice).file("test_few.py", TESTS)
    result = suite.run()

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["two plugins give the invariant 'linearizable'; each name may be given once"])


def test_an_unknown_argument_gets_pluggys_own_message(suite: Suite) -> None:
    suite.file("conftest.py", "def pytest_coordchaos_reporters(config, banana): pass")
    result = suite.off()

    assert "Argument(s) {'banana'} are declared in the hookimpl but can not be found in the hookspec" in result.stderr.str()


@pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("pytest_coordchaos_")])
def test_every_hook_says_when_it_is_called_with_what_and_what_its_answer_means(name: str) -> None:
    spec = getattr(hookspecs, name)
    text = inspect.getdoc(spec) or ""

    assert text.startswith("Return ")
    assert "Called " in text
    assert all(f"{parameter}:" in text for parameter in inspect.signature(spec).parameters)
