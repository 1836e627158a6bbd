"""The README's first command runs in a clone, without the extras that the tests need."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_demo_is_found_from_the_root_of_a_clone_without_the_test_extras(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hypothesis", "xdist", "anyio", "trio", "pytest_asyncio"):
        pytester.path.joinpath(f"{name}.py").write_text("raise ModuleNotFoundError(__name__)")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    monkeypatch.chdir(ROOT)
    arguments = ("-p", "pytest_coordchaos.plugin", "-p", "no:cacheprovider", "--collect-only", "-q")

    result = pytester.runpytest_subprocess(*arguments, "--pyargs", "reference_systems.demo")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*demo/test_raft_kv.py::*"])
