"""Randomness of the standard library, as simulated nodes see it: a stream for each life of each node, and one for the experiment.

What one node draws does not change what another sees. The functions of module `random` are methods of one hidden generator,
and programs hold them by names of their own (`from random import choice`): so the generator itself is taught to ask
whoever runs. Its two methods in C are exchanged alone, so that other generators keep their speed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any
from zlib import crc32

from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.swap import swap

__all__ = ["install", "uninstall"]

_hidden: Any = random._inst
_given: dict[tuple[Any, str], Any] = {}


class _Asking(random.Random):
    """The hidden generator while patches are in place."""

    def random(self) -> float:
        """As the one who runs draws it."""
        return super().random() if active.loop is None else active.stream("random").random()

    def getrandbits(self, k: int) -> int:
        """As the one who runs draws it."""
        return super().getrandbits(k) if active.loop is None else active.stream("random").getrandbits(k)

    @property
    def gauss_next(self) -> float | None:
        """The second of two numbers that `gauss` draws at once."""
        found: float | None = vars(self if active.loop is None else active.stream("random"))["gauss_next"]
        return found

    @gauss_next.setter
    def gauss_next(self, value: float | None) -> None:
        vars(self if active.loop is None else active.stream("random"))["gauss_next"] = value


def install() -> None:
    """Put everything in place.

    Raises:
        ValueError: The interpreter is not laid out as expected.
    """
    active.switches.append(swap(random.random, _drawn("random"), alone=True))
    active.switches.append(swap(random.getrandbits, _drawn("getrandbits"), alone=True))
    _hidden.__class__ = _Asking
    _replace(random.Random, "seed", _seed)
    for name in ("seed", "getstate", "setstate"):
        _replace(random, name, _asked(name, getattr(random, name)))
    _replace(uuid, "getnode", _network_address(uuid.getnode))


def uninstall() -> None:
    """Put everything back. Idempotent."""
    _hidden.__class__ = random.Random
    for (owner, name), value in _given.items():
        setattr(owner, name, value)
    _given.clear()


def _replace(owner: Any, name: str, new: Any) -> None:
    _given[owner, name] = getattr(owner, name)
    setattr(owner, name, new)


def _drawn(name: str) -> Any:
    def replacement(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
        if arguments and not (isinstance(arguments[0], int) and arguments[0] >= 0):
            return original(this, arguments)
        return getattr(active.stream("random"), name)(*arguments)

    return replacement


def _asked(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has to do with the whole generator: of whoever runs."""

    def instead(*arguments: Any, **options: Any) -> Any:
        return (original if active.loop is None else getattr(active.stream("random"), name))(*arguments, **options)

    return instead


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """`Random()` without a seed asks the machine in C, past every patch: while a simulation runs, it asks the stream."""
    if a is None and active.loop is not None:
        a = active.stream("urandom").getrandbits(256)
    _given[random.Random, "seed"](self, a, version)


def _network_address(original: Callable[[], int]) -> Callable[[], int]:
    """What uuid1 takes for the machine: a locally administered address of the node's own."""

    def getnode() -> int:
        loop = active.loop
        if loop is None:
            return original()
        return 0x02_00_00_00_00_00 | (1 if loop.node is None else crc32(loop.node.name.encode()))

    return getnode
