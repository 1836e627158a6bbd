"""Which mutants a command line means: names of reference systems, `module:attribute`, and names of mutants."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.mutants.model import Mutant, MutantSuite

__all__ = ["find", "reference_suites"]

_HOME = "reference_systems"
_NAME = "MUTANTS"


def find(words: Sequence[str]) -> tuple[tuple[MutantSuite, Mutant], ...]:
    """The suites that words name, all of the reference systems when none does; of these the mutants that they name, or all.

    Raises:
        UsageError: A word names nothing, or a module has no suite of that name.
    """
    references = reference_suites()
    named = [word for word in words if ":" in word or word in references]
    suites = [_suite(word) if ":" in word else _suite(f"{references[word]}:{_NAME}") for word in named or references]
    names = [word for word in words if word not in named]
    if not any(suite.mutants for suite in suites):
        raise UsageError(f"there is no mutant to try in {', '.join(suite.name for suite in suites) or 'any reference system'}")
    for name in names:
        if not any(mutant.name == name for suite in suites for mutant in suite.mutants):
            there = ", ".join(mutant.name for suite in suites for mutant in suite.mutants) or "none"
            raise UsageError(
                f"{name!r} is no system ({', '.join(references) or 'none'}) and no mutant of those asked for ({there})"
            )
    return tuple((suite, mutant) for suite in suites for mutant in suite.mutants if not names or mutant.name in names)


def reference_suites() -> dict[str, str]:
    """Name of a reference system that has mutants -> the module of its suite."""
    home = import_module(_HOME)
    modules = {found.name: f"{_HOME}.{found.name}.mutants" for found in pkgutil.iter_modules(home.__path__) if found.ispkg}
    return {name: module for name, module in sorted(modules.items()) if find_spec(module) is not None}


def _suite(word: str) -> MutantSuite:
    module, _, attribute = word.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it: a suite of one's own lies where the command is called
    try:
        suite = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{word!r} names no suite of mutants: {error}") from None
    if not isinstance(suite, MutantSuite):
        raise UsageError(f"{word!r} is a {type(suite).__name__}; wanted: a MutantSuite")
    return suite
