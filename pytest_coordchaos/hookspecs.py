"""The hooks that other plugins and conftest files can implement.

The plugin's own behaviour goes through them too. Arguments are given by name and may grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_coordchaos.checkers.invariant import Invariant
    from pytest_coordchaos.run import Run


@pytest.hookspec
def pytest_coordchaos_invariants(config: pytest.Config) -> Mapping[str, Invariant] | None:
    """Return invariants that the `invariants` marker shall know beside the built-in ones: name -> Invariant.

    Called once per pytest process (each xdist worker is one), before the first test that needs a
    cluster. A name that is taken already, by a built-in one or by another plugin, is an error.

    An Invariant's `check(history, options)` is given everything its cluster did since it started, and the
    option `window_start_ns`: what was invoked earlier belongs to other tests and is context only.

    Args:
        config: pytest's configuration.
    """


@pytest.hookspec
def pytest_coordchaos_reporters(config: pytest.Config) -> Mapping[str, Callable[[Run], None]] | None:
    """Return reporters: name -> function called with every finished Run, in the process that ran the test.

    Called once per pytest process, before the first test that needs a cluster. What a reporter raises
    is shown in the summary and changes no verdict. The files of `--coordchaos-report` are written by
    the reporter "json".

    Args:
        config: pytest's configuration.
    """
