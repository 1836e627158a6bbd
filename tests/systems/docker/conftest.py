"""One session for the tests of this directory, on the base image of the tests; they are skipped where no engine answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_coordchaos import Session
from pytest_coordchaos.settings import Settings
from tests.requirements import require
from tests.systems.docker.engine import BASE, no_engine


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skip, or fail where COORDCHAOS_REQUIRE names docker."""
    require("docker", no_engine() is None, no_engine() or "")


@pytest.fixture(scope="session")
def containers(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session whose Systems run as containers."""
    root = tmp_path_factory.mktemp("containers")
    session = Session(settings=Settings(runtime="docker", base_image=BASE), root=root)
    yield session
    session.close()
