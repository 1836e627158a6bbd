"""A small suite on a real cluster, and the pytest runs that the tests of the plugin make of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
"""Files that go into a suite: the program under test, the suite's conftest, and its tests."""

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
"""
_OURS = ("COORDCHAOS", "COORDCHAOS_RUNTIME", "COORDCHAOS_SEED", "COORDCHAOS_REPORT", "COORDCHAOS_KEEP")
_THEIRS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "CI", "BUILD_NUMBER")


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs under test share compiled modules: where none are kept, compiling would be most of their time."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, bytecode: Path) -> None:
    """The options and plugins of the run that tests us must not reach the runs under test."""
    for name in (*_OURS, *_THEIRS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(bytecode))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")  # it takes longer to load than all the rest
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


class Suite:
    """A directory with a suite in it that has the fixtures `echo` and `put` (see programs/)."""

    python = sys.executable

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeini(INI)
        for program, name in (("echo_server.py", "echo_server.py"), ("suite_conftest.py", "conftest.py")):
            self.file(name, (PROGRAMS / program).read_text())

    def file(self, name: str, text: str) -> Suite:
        """Add a file."""
        (self.path / name).write_text(text)
        return self

    def promises(self) -> Suite:
        """Add the tests of programs/suite_promises.py, one for each promise of the plugin."""
        return self.file("test_promises.py", (PROGRAMS / "suite_promises.py").read_text())

    def run(self, *args: str) -> pytest.RunResult:
        """pytest in a process of its own, with clusters switched on and a known seed."""
        return self.alone("--coordchaos", "--coordchaos-seed=7", *args)

    def off(self, *args: str) -> pytest.RunResult:
        """pytest in this process, just so: for runs that start nothing."""
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)

    def alone(self, *args: str) -> pytest.RunResult:
        """pytest in a process of its own."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *args, timeout=120)


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    """A suite without tests."""
    return Suite(pytester)
