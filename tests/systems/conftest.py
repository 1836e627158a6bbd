"""Real processes: one session for all system tests, ended with the last."""

from __future__ import annotations

import os

import pytest

from pytest_coordchaos import Session
from pytest_coordchaos.settings import Settings


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory):
    """What the `coordchaos` fixture gives, without the plugin being switched on; COORDCHAOS_PROXY counts as there."""
    proxy, toxiproxy = (os.environ.get(name, "") for name in ("COORDCHAOS_PROXY", "COORDCHAOS_TOXIPROXY"))
    settings = Settings(proxy=proxy or "relay", toxiproxy=toxiproxy)
    session = Session(settings=settings, root=tmp_path_factory.mktemp("coordchaos"))
    yield session
    session.close()
