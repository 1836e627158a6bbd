"""Names of our proxies on a server that others use too: whose they are, and which were left behind by the dead."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable

from pytest_coordchaos.runtimes import labels

__all__ = ["run_prefix", "stale"]

_PREFIX = re.compile(r"coordchaos-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{6}\.")


def run_prefix() -> str:
    """What every name of one cluster begins with: the place, pid and start time of this process, and a token of the cluster."""
    place, pid, start = _owner()
    return f"coordchaos-{_short(place)}-{pid}-{start}-{secrets.token_hex(3)}."


def stale(names: Iterable[str]) -> list[str]:
    """Those of the names that belong to processes of this machine that are dead. Names of others are never among them."""
    place, _, _ = _owner()
    found = []
    for name in names:
        match = _PREFIX.match(name)
        if match and match[1] == _short(place) and labels.is_dead(f"{place}:{match[2]}:{match[3]}"):
            found.append(name)
    return found


def _owner() -> tuple[str, str, str]:
    place, pid, start = labels.owner_of_this_process().rsplit(":", 2)
    return place, pid, start


def _short(place: str) -> str:
    return hashlib.blake2b(place.encode(), digest_size=4).hexdigest()
