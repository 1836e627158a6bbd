"""The exceptions by which a verdict fails a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_coordchaos.errors import VerdictError
from pytest_coordchaos.verdicts import Status

if TYPE_CHECKING:
    from _pytest.outcomes import Failed
else:
    Failed = pytest.fail.Exception  # the public name of the class, which type checkers do not follow

__all__ = ["Unknown", "VerdictFailure", "Violated", "failure_of"]


class VerdictFailure(Failed, VerdictError):
    """A verdict that fails a test: its text is the whole report, no traceback belongs to it.

    `xfail(raises=...)` accepts these classes, `pytest.fail.Exception` and `AssertionError` alike.
    """

    # pytest puts the class's module before each line of the short summary; the package says enough.
    __module__ = "pytest_coordchaos"

    def __init__(self, text: str) -> None:
        super().__init__(msg=text, pytrace=False)


class Violated(VerdictFailure):
    """An invariant is violated or a budget is exceeded."""

    __module__ = "pytest_coordchaos"


class Unknown(VerdictFailure):
    """Nothing is violated, but not everything could be told."""

    __module__ = "pytest_coordchaos"


def failure_of(status: Status, text: str) -> VerdictFailure:
    """The exception for that status."""
    return Violated(text) if status is Status.VIOLATED else Unknown(text)
