"""Clocks and randomness of the standard library, as simulated nodes see them.

While a simulation runs, `time`, `datetime`, `os.urandom`, `uuid` and `secrets` answer from the node's clock and the
seed, through every alias that was bound before, and so does `random` (see `chance`). Outside of a running simulation
everything is as it was.
"""

from __future__ import annotations

import datetime
import os
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import active, chance
from pytest_coordchaos.runtimes.sim.clock import EPOCH_NS
from pytest_coordchaos.runtimes.sim.swap import swap

__all__ = ["install", "reseed", "self_test", "uninstall"]

_given: dict[str, Any] = {}

_S = 1_000_000_000
_TIMES: dict[str, Callable[[], Any]] = {
    "time": lambda: _wall_ns() / _S,
    "time_ns": lambda: _wall_ns(),
    "monotonic": lambda: _monotonic_ns() / _S,
    "monotonic_ns": lambda: _monotonic_ns(),
    "perf_counter": lambda: _monotonic_ns() / _S,
    "perf_counter_ns": lambda: _monotonic_ns(),
    "process_time": lambda: _monotonic_ns() / _S,
    "process_time_ns": lambda: _monotonic_ns(),
    "thread_time": lambda: _monotonic_ns() / _S,
    "thread_time_ns": lambda: _monotonic_ns(),
}
_FORMATS = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Functions that take the present time when their last argument is left out -> how many arguments come before it."""


def _wall_ns() -> int:
    loop = active.loop
    assert loop is not None, "asked only while a simulation runs"
    return EPOCH_NS + loop.now_ns if loop.node is None else loop.node.clock.wall_ns(loop.now_ns)


def _monotonic_ns() -> int:
    loop = active.loop
    assert loop is not None, "asked only while a simulation runs"
    return loop.now_ns if loop.node is None else loop.node.clock.monotonic_ns(loop.now_ns)


def install() -> None:
    """Put everything in place, once per process. Idempotent.

    Raises:
        CapabilityError: The interpreter cannot be patched, or the self-test sees a clock that leaks.
    """
    if active.switches:
        return
    try:
        for name, answer in _TIMES.items():
            active.switches.append(swap(getattr(time, name), _instead(answer)))
        for name, before in _FORMATS.items():
            active.switches.append(swap(getattr(time, name), _formatted(name, before)))
        active.switches.append(swap(time.clock_gettime, _clock(1.0 / _S)))
        active.switches.append(swap(time.clock_gettime_ns, _clock(1)))
        active.switches.append(swap(datetime.datetime.__dict__["now"], _now))
        active.switches.append(swap(datetime.datetime.__dict__["utcnow"], _utcnow))
        active.switches.append(swap(os.urandom, _urandom))
        chance.install()
    except (ValueError, KeyError, AttributeError) as error:
        uninstall()
        raise CapabilityError(f"runtime sim needs CPython 3.11 to 3.13 on a 64-bit machine: {error}") from None
    for name in ("_generate_time_safe", "_UuidCreate"):  # C code with a clock and a node address of its own
        _given[name] = getattr(uuid, name, None)
        setattr(uuid, name, None)


def uninstall() -> None:
    """Put everything back. Idempotent."""
    while active.switches:
        active.switches.pop().off()
    chance.uninstall()
    for name, value in _given.items():
        setattr(uuid, name, value)
    _given.clear()


def reseed(seed: int) -> None:
    """A new simulation begins: global randomness starts from its seed."""
    active.reseed(seed)
    uuid._last_timestamp = None  # type: ignore[attr-defined]  # what an earlier simulation left


def _instead(answer: Callable[[], Any]) -> Any:
    def replacement(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
        return original(this, arguments) if active.loop is None else answer()

    return replacement


def _formatted(name: str, before: int) -> Any:
    def replacement(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
        given = len(arguments) > before and arguments[before] is not None
        if active.loop is None or given:
            return original(this, arguments)
        moment: Any = _wall_ns() / _S
        if name in ("asctime", "strftime"):
            moment = time.localtime(moment)
        return original(this, (*arguments[:before], moment))

    return replacement


def _clock(unit: float) -> Any:
    def replacement(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
        if active.loop is None:
            return original(this, arguments)
        shown = _wall_ns() if arguments and arguments[0] == time.CLOCK_REALTIME else _monotonic_ns()
        return shown if unit == 1 else shown * unit

    return replacement


def _now(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
    if active.loop is None:
        return original(this, arguments)
    return this.fromtimestamp(_wall_ns() / _S, *arguments)


def _utcnow(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
    if active.loop is None:
        return original(this, arguments)
    return this.fromtimestamp(_wall_ns() / _S, datetime.UTC).replace(tzinfo=None)


def _urandom(original: Callable[..., Any], this: Any, arguments: tuple[Any, ...]) -> Any:
    if active.loop is None or not isinstance(arguments[0], int) or arguments[0] < 0:
        return original(this, arguments)
    return active.stream("urandom").randbytes(arguments[0])


def self_test() -> None:
    """Ask every clock and source of randomness through aliases bound earlier, while a simulation runs.

    Raises:
        CapabilityError: One of them answers with something real.
    """
    virtual_s = _wall_ns() / _S
    asked = {"time.time": _alias_time(), "datetime.now": _alias_now().timestamp(), "time.mktime": time.mktime(_alias_localtime())}
    leaks = [name for name, seen in asked.items() if abs(seen - virtual_s) > 1]
    if _alias_monotonic() != _monotonic_ns() / _S:
        leaks.append("time.monotonic")
    leaks += [name for name, kind, draw in _DRAWS if not _follows(active.stream(kind), draw)]
    if leaks:
        raise CapabilityError(f"runtime sim cannot be trusted here: {', '.join(leaks)} still show the real machine")


def _follows(stream: random.Random, draw: Callable[[], object]) -> bool:
    """Whether what is drawn comes from that stream, which is left as it was."""
    state = stream.getstate()
    first = draw()
    stream.setstate(state)
    second = draw()
    stream.setstate(state)
    return first == second


_alias_time, _alias_monotonic, _alias_localtime = time.time, time.monotonic, time.localtime
_alias_now, _alias_urandom, _alias_random, _alias_bits = datetime.datetime.now, os.urandom, random.random, random.getrandbits
_DRAWS: tuple[tuple[str, str, Callable[[], object]], ...] = (
    ("os.urandom", "urandom", lambda: _alias_urandom(8)),
    ("random.Random()", "urandom", lambda: random.Random().random()),
    ("random.random", "random", lambda: _alias_random()),
    ("random.getrandbits", "random", lambda: _alias_bits(64)),
)
