"""Sessions whose clusters have a real Toxiproxy behind their relays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pytest_coordchaos import Session
from pytest_coordchaos.settings import Settings
from tests.real_toxiproxy import BINARY

__all__ = ["SILENT", "processes_of_port", "session_with"]

SILENT = ("error TimeoutError", "closed")
"""What a mesh node says of one that does not answer."""


@contextmanager
def session_with(root: Path, toxiproxy: str = "", proxy: str = "toxiproxy") -> Iterator[Session]:
    """A session whose clusters have Toxiproxy behind their relays."""
    session = Session(settings=Settings(proxy=proxy, toxiproxy=toxiproxy or str(BINARY)), root=root)
    try:
        yield session
    finally:
        session.close()


def processes_of_port(port: int) -> list[psutil.Process]:
    """Toxiproxy's own process, by its port."""
    words = ["-port", str(port)]
    return [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[3:5] == words]
