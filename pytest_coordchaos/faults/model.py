"""The fault vocabulary as values, and the state of links they resolve to. Pure.

Faults are a multiset: applying adds a value, undoing takes one copy away, and one pure function
(`faults.resolve.resolve`) maps the set to a desired state per link and direction. Undo in any
order is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PASS", "Cut", "DirectionState", "Fault", "LinkMode", "Partition", "Pause", "Refuse", "Slow", "SlowAll"]


class LinkMode(StrEnum):
    """What happens to bytes travelling in one direction. Strongest wins: refuse > drop > pass."""

    PASS = "pass"
    DROP = "drop"
    REFUSE = "refuse"
    BEHIND = "behind"
    """For a relay in front of something that discards the bytes: they are handed on to it, the end of the
    stream is not, and nobody new is dialled. No fault resolves to it."""


@dataclass(frozen=True, slots=True)
class DirectionState:
    """Desired state of one direction of a link. Delays of several faults add up."""

    mode: LinkMode = LinkMode.PASS
    delay_ms: float = 0.0


PASS = DirectionState()


@dataclass(frozen=True, slots=True)
class Cut:
    """Every byte travelling source -> target is discarded (a black hole; no FIN, no RST)."""

    source: str
    target: str


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
    clients are cut only when `CLIENTS` is named in a group.
    """

    groups: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """The node's processes are stopped (SIGSTOP)."""

    node: str


Fault = Cut | Refuse | Slow | SlowAll | Partition | Pause
