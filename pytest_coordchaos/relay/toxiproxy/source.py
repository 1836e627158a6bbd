"""Where the Toxiproxy server comes from, as the option says it; and which versions will do."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.relay.toxiproxy.model import host_port
from pytest_coordchaos.relay.wire import Address

__all__ = ["BINARY", "Source", "resolve_source", "version_note"]

BINARY = "toxiproxy-server"
_LEAST = (2, 12)
_ALLOWED = "a program (its name or path), HOST:PORT of a server that runs, or image:NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One of three.

    Args:
        binary: A program to start for each cluster.
        address: The API of a server that runs, shared with others.
        image: A container image to start for each cluster.
    """

    binary: str = ""
    address: Address | None = None
    image: str = ""

    @property
    def words(self) -> str:
        """The source for people."""
        if self.address is not None:
            return f"the server at {self.address[0]}:{self.address[1]}"
        return f"image {self.image}" if self.image else self.binary


def resolve_source(asked: str, place: str = "--coordchaos-toxiproxy") -> Source:
    """The source that an option's value names; "": `toxiproxy-server` on PATH.

    Args:
        asked: The value.
        place: Where it was given, for messages.

    Raises:
        UsageError: It is not there, or names nothing: what is allowed, and what to do.
    """
    if asked.startswith("image:"):
        if not asked.removeprefix("image:").strip():
            raise UsageError(f"{place}={asked} names no image; allowed: {_ALLOWED}")
        return Source(image=asked.removeprefix("image:").strip())
    if "/" not in asked and ":" in asked:
        try:
            return Source(address=host_port(asked))
        except ValueError:
            raise UsageError(f"{place}={asked} is not allowed; allowed: {_ALLOWED}") from None
    found = shutil.which(os.path.expanduser(asked) or BINARY)
    if found is None:
        raise UsageError(_not_found(asked, place))
    return Source(binary=str(Path(found).absolute()))


def version_note(version: str, words: str) -> str:
    """What must be said of a version: nothing of 2.12 and later ones.

    Raises:
        UsageError: It is older.
    """
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        return f"Toxiproxy calls its version {version!r}: taken for 2.12 or later"
    if tuple(map(int, numbers.groups())) < _LEAST:
        raise UsageError(f"Toxiproxy {version} ({words}) is too old; allowed: 2.12 or later (or --coordchaos-proxy=relay)")
    return ""


def _not_found(asked: str, place: str) -> str:
    if not asked:
        return (
            f"proxy=toxiproxy needs a Toxiproxy server, and there is no {BINARY} on PATH: install Toxiproxy 2.12, or name "
            f"{_ALLOWED} with {place}, or take --coordchaos-proxy=relay"
        )
    return f"{place}={asked}: there is no such program; allowed: {_ALLOWED}"
