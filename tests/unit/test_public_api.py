"""The public names: all there, documented, and cheap to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pytest_coordchaos


def test_every_exported_name_exists_and_has_a_docstring() -> None:
    bare = [name for name in pytest_coordchaos.__all__ if name != "CLIENTS" and not getattr(pytest_coordchaos, name).__doc__]

    assert not bare
    assert sorted(pytest_coordchaos.__all__) == sorted(pytest_coordchaos._MODULE_OF)


def test_importing_the_package_loads_neither_pytest_nor_a_loop() -> None:
    """A node that imports the package must not pay for the test framework."""
    code = "import sys, pytest_coordchaos; print([m for m in ('pytest', 'asyncio', 'msgspec', 'docker') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error_naming_it() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pytest_coordchaos.nonsense
