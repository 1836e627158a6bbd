"""What tests of simulated worlds share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_coordchaos.runtimes.sim import fences, patches


@pytest.fixture(scope="module")
def simulated() -> Iterator[None]:
    """Clocks, randomness and fences are those of the simulation while a module's tests run."""
    patches.install()
    fences.install()
    yield
    fences.uninstall()
    patches.uninstall()
