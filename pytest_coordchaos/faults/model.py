"""The fault vocabulary as values, and the state of links they resolve to. Pure.

Faults are a multiset: applying adds a value, undoing takes one copy away, and one pure function
(`faults.resolve.resolve`) maps the set to a desired state per link and direction. Undo in any
order is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "PASS",
    "Corrupt",
    "Cut",
    "DirectionState",
    "Drift",
    "DropReplies",
    "Duplicate",
    "Fault",
    "FrameFault",
    "FrameKind",
    "FrameRule",
    "FramesAll",
    "FullDisk",
    "Jump",
    "LinkMode",
    "Lose",
    "MachineFault",
    "Partition",
    "Pause",
    "Refuse",
    "Reorder",
    "Skew",
    "Slow",
    "SlowAll",
    "SlowDisk",
]


class LinkMode(StrEnum):
    """What happens to bytes travelling in one direction. Strongest wins: refuse > drop > hold > pass."""

    PASS = "pass"
    HOLD = "hold"
    DROP = "drop"
    REFUSE = "refuse"
    BEHIND = "behind"
    """For a relay in front of something that discards the bytes: they are handed on to it, the end of the
    stream is not, and nobody new is dialled. No fault resolves to it."""


class FrameKind(StrEnum):
    """What can happen to one frame (message) of a protocol whose frames are independent."""

    LOSE = "lose"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True, order=True)
class FrameRule:
    """Each frame of these classes meets this with probability `rate`.

    Args:
        kind: What it meets.
        classes: Names of message classes, sorted; (): every class.
        rate: Above 0, at most 1.
    """

    kind: FrameKind
    classes: tuple[str, ...]
    rate: float


@dataclass(frozen=True, slots=True)
class DirectionState:
    """Desired state of one direction of a link. Delays of several faults add up.

    Args:
        mode: What happens to bytes; all else matters only while it is `PASS`.
        delay_ms: How much later they are passed on.
        frames: What happens to frames, sorted; rules of one kind strike independently of each other.
        replies_lost: Downstream only: the connection is reset when the target begins to reply.
    """

    mode: LinkMode = LinkMode.PASS
    delay_ms: float = 0.0
    frames: tuple[FrameRule, ...] = ()
    replies_lost: bool = False


PASS = DirectionState()


@dataclass(frozen=True, slots=True)
class Cut:
    """Every byte travelling source -> target is discarded (a black hole; no FIN, no RST).

    With `hold` it is kept instead, in order, and passed on when the cut is lifted: old messages arrive late.
    """

    source: str
    target: str
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Connections source -> target are closed and new ones refused."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Slow:
    """Bytes travelling source -> target take `one_way_ms` longer."""

    source: str
    target: str
    one_way_ms: float


@dataclass(frozen=True, slots=True)
class SlowAll:
    """Bytes travelling between any two of these nodes take `one_way_ms` longer, both ways.

    One value, so that it is applied, proven and undone as one.
    """

    nodes: frozenset[str]
    one_way_ms: float


@dataclass(frozen=True, slots=True)
class Partition:
    """Nodes of different groups are cut from each other, both ways.

    A node in several groups talks to all of them (a bridge). Nodes not named keep all links;
    clients are cut only when `CLIENTS` is named in a group. With `hold` bytes are kept, as by `Cut`.
    """

    groups: tuple[frozenset[str], ...]
    hold: bool = False


@dataclass(frozen=True, slots=True)
class FrameFault:
    """Something happens to frames travelling source -> target. Made as one of its kinds: `Lose`, `Duplicate` …

    Args:
        source, target: The direction of travel.
        rate: Probability per frame, 0 to 1. Several faults of one kind strike independently.
        classes: Only frames of these message classes; none: of every class.
    """

    source: str
    target: str
    rate: float
    classes: frozenset[str] = frozenset()

    kind: ClassVar[FrameKind]


class Lose(FrameFault):
    """Frames vanish, whole."""

    __slots__ = ()
    kind = FrameKind.LOSE


class Duplicate(FrameFault):
    """Frames arrive twice, one right after the other."""

    __slots__ = ()
    kind = FrameKind.DUPLICATE


class Reorder(FrameFault):
    """Frames change places with the next one on their connection."""

    __slots__ = ()
    kind = FrameKind.REORDER


class Corrupt(FrameFault):
    """One bit of a frame's body is flipped; its header, and so the frames after it, stay readable."""

    __slots__ = ()
    kind = FrameKind.CORRUPT


@dataclass(frozen=True, slots=True)
class FramesAll:
    """Something happens to frames travelling between any two of these nodes, both ways. One value, as `SlowAll`."""

    nodes: frozenset[str]
    kind: FrameKind
    rate: float


@dataclass(frozen=True, slots=True)
class DropReplies:
    """What source asks reaches target, but no reply comes back: the connection is reset when target begins one.

    Datagrams have no connection: there the replies vanish.
    """

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The node's processes are stopped (SIGSTOP)."""

    node: str


@dataclass(frozen=True, slots=True)
class Skew:
    """The node's wall clock is off by `offset_s`, as one that was never set right. Several add up."""

    node: str
    offset_s: float


@dataclass(frozen=True, slots=True)
class Jump:
    """The node's wall clock makes one step of `seconds`, forward or back, as when somebody sets it. Several add up."""

    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Drift:
    """All clocks of the node run at `rate`: its seconds in one true second. Timers count on them. Rates multiply."""

    node: str
    rate: float


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Each forced write of the node takes `sync_ms` longer. Several add up."""

    node: str
    sync_ms: float


@dataclass(frozen=True, slots=True)
class FullDisk:
    """What the node writes is refused with ENOSPC."""

    node: str


MachineFault = Skew | Jump | Drift | SlowDisk | FullDisk
"""Faults of one node's machine: they change no link."""

Fault = Cut | Refuse | Slow | SlowAll | Partition | Pause | FrameFault | FramesAll | DropReplies | MachineFault
