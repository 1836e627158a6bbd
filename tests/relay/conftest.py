"""A real relay process for the tests of this directory, and small nodes behind its links."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_coordchaos.runtimes import ambassador
from tests.relay.rig import RelayProcess


@pytest.fixture(scope="session")
def relay() -> Iterator[RelayProcess]:
    """One relay process, shared: each test makes links of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_coordchaos.relay", "--seed", "7"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    host, port = process.stdout.readline().split()
    yield RelayProcess(pid=process.pid, address=(host, int(port)))
    process.terminate()
    assert process.wait(timeout=10) == 0, "SIGTERM ends the relay cleanly"
    process.stdout.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """An ambassador of this namespace, behind a path that is too long for a UNIX socket's address."""
    place = tmp_path / ("long" * 30)
    place.mkdir()
    argv = [sys.executable, "-I", "-S", ambassador.__file__, str(place)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("boot ")
        while not (place / ambassador.SOCKET_NAME).exists():
            assert process.poll() is None
        yield str(place / ambassador.SOCKET_NAME)
        process.kill()
