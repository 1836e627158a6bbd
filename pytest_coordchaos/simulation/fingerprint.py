"""What must be equal for a seed to be the same run: the interpreter, the installed packages, the program's own sources."""

from __future__ import annotations

import json
import platform
import site
import sys
import sysconfig
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pytest_coordchaos.simulation.client import HASH_SEED

__all__ = ["changes", "fingerprint", "short", "sources"]

_PATHS = sysconfig.get_paths()
_INSTALLED = [
    Path(place).resolve()
    for place in (*(_PATHS[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *site.getsitepackages())
]


def fingerprint(program: Mapping[str, str]) -> dict[str, Any]:
    """Everything, as a JSON object.

    Args:
        program: What `sources` said in the processes that ran the test.
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.machine()} {sys.byteorder}",
        "hash_seed": HASH_SEED,
        "packages": dict(sorted((one.name, one.version) for one in distributions())),
        "program": dict(sorted(program.items())),
    }


def sources() -> dict[str, str]:
    """The modules loaded in this process that are neither of Python nor of installed packages -> digest of the source."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py") or name == "__main__":
            continue
        place = Path(file).resolve()
        if place.is_file() and not any(place.is_relative_to(one) for one in _INSTALLED):
            found[name] = _digest(place.read_bytes())
    return found


def short(whole: Mapping[str, Any]) -> str:
    """One word that stands for all of it: parts that can be told apart, as `python=3f2a41c0,packages=…`."""
    return ",".join(f"{name}={_digest(json.dumps(value, sort_keys=True).encode())}" for name, value in whole.items())


def changes(before: Mapping[str, Any] | str, now: Mapping[str, Any]) -> list[str]:
    """In what an environment differs from an earlier one, whole or as its `short` word."""
    if isinstance(before, str):
        parts = dict(part.partition("=")[::2] for part in before.split(","))
        shorts = dict(part.partition("=")[::2] for part in short(now).split(","))
        return [f"{name} differs" for name in shorts if parts.get(name) != shorts[name]]
    found = []
    for name in now:
        old, new = before.get(name), now[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for key in sorted({*old, *new}):
                found += [] if old.get(key) == new.get(key) else [f"{name}: {key} {old.get(key, '-')}, now {new.get(key, '-')}"]
        elif old != new:
            found.append(f"{name}: {old}, now {new}")
    return found


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=4).hexdigest()
