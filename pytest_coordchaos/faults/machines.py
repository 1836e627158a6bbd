"""From a set of faults to what one node's clock and disk are to be. Pure; the counterpart of `resolve` for machines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_coordchaos.faults.model import Drift, Fault, FullDisk, Jump, Skew, SlowDisk

__all__ = ["MachineProbe", "MachineState", "judged", "machine_state"]

_OFFSET_SLACK_S = 0.010
_RATE_SLACK = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """What faults make of one machine.

    Args:
        offset_s: How far its wall clock is ahead, beside what it drifts.
        rate: Its seconds in one true second.
        sync_ms: How much longer a forced write takes.
        full: Its disk takes no more.
    """

    offset_s: float = 0.0
    rate: float = 1.0
    sync_ms: float = 0.0
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineProbe:
    """What was seen of a machine from its inside.

    Args:
        ok: It is as it is to be.
        observed: One sentence: what was seen.
    """

    ok: bool
    observed: str


def machine_state(faults: Iterable[Fault], node: str) -> MachineState:
    """The state of a node's machine while all these faults are in force.

    Offsets and delays add, rates multiply; a disk is full while any fault says so. Rounded once, so that the order
    of faults does not matter and undoing one leaves exactly the others.
    """
    own = [fault for fault in faults if isinstance(fault, Skew | Jump | Drift | SlowDisk | FullDisk) and fault.node == node]
    offsets = [fault.offset_s for fault in own if isinstance(fault, Skew)]
    offsets += [fault.seconds for fault in own if isinstance(fault, Jump)]
    return MachineState(
        offset_s=math.fsum(offsets),
        rate=math.prod(sorted(fault.rate for fault in own if isinstance(fault, Drift)), start=1.0),
        sync_ms=math.fsum(fault.sync_ms for fault in own if isinstance(fault, SlowDisk)),
        full=any(isinstance(fault, FullDisk) for fault in own),
    )


def judged(node: str, wanted: MachineState, *, ahead_s: float, rate: float, sync_ms: float, full: bool) -> MachineProbe:
    """What a look from inside the machine proves.

    Args:
        wanted: What was to be.
        ahead_s: How far its wall clock was ahead of the true one, without what it drifted meanwhile.
        rate: Its seconds in one true second, as two readings tell.
        sync_ms: How much longer its last forced write took than the disk's own time.
        full: It refused to write.
    """
    ok = abs(ahead_s - wanted.offset_s) <= _OFFSET_SLACK_S and abs(rate - wanted.rate) <= _RATE_SLACK
    ok = ok and sync_ms >= wanted.sync_ms - 1e-6 and full is wanted.full
    seen = f"{node} sees its wall clock {ahead_s:+.3f} s off and running at {rate:.4f}"
    slow = f", its forced writes {sync_ms:g} ms slower" if sync_ms >= 1 else ""
    return MachineProbe(ok=ok, observed=seen + slow + (", its disk full" if full else ""))
